"""What was reported before: to tell a repeated report from another one under the same id."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from service.store.postgres import Connection
from service.store.queries import queries
from service.store.trees import Row


class KnownReport(msgspec.Struct, frozen=True):
    fingerprint: bytes
    recorded_at: datetime


async def find_reports(connection: Connection, request_ids: Sequence[str]) -> dict[str, KnownReport]:
    """By request id, those that are in the ledger."""
    rows = queries.find_usage_fingerprints(connection, request_ids=list(request_ids))
    return {row["request_id"]: KnownReport(row["fingerprint"], row["recorded_at"]) async for row in rows}


async def find_booked_events(connection: Connection, reports: Mapping[str, KnownReport]) -> dict[str, Row]:
    """By request id, what was booked then."""
    rows = queries.find_booked_events(
        connection,
        request_ids=list(reports),
        recorded_ats=[report.recorded_at for report in reports.values()],
    )
    return {row["request_id"]: row async for row in rows}
