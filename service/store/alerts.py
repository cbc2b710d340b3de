"""The outbox of alerts: what fired, and how far its delivery is. `record_usage` (ledger) fires them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from service.domain.alerts import Alert, AlertOwner, AlertState
from service.domain.money import nanousd_to_json
from service.store.postgres import Connection
from service.store.queries import queries


class AlertFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts that match all that is given, fired from `from_at` on and before `to_at`."""

    state: AlertState | None = None
    budget_id: str | None = None
    customer_id: str | None = None
    team_id: str | None = None
    virtual_key_id: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


class AlertPlace(msgspec.Struct, frozen=True):
    """Where in the order of alerts a page comes after: that of one, or the very beginning."""

    before_at: datetime | None = None
    before_id: int | None = None


class ClaimedAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert this replica has for the time of a lease. `delivered_to` are the webhooks that have it already."""

    alert: Alert
    due_at: datetime
    delivered_to: frozenset[str]


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one: `attempts` is its number, `next_attempt_at` only of what goes on."""

    alert_id: int
    attempts: int
    state: AlertState
    delivered_to: frozenset[str]
    last_error: str = ""
    next_attempt_at: datetime | None = None
    delivered_at: datetime | None = None


class LockedAlert(msgspec.Struct, frozen=True):
    state: AlertState
    tenant_id: str


async def list_alerts(connection: Connection, narrowed: AlertFilter, *, after: AlertPlace, limit: int) -> list[Alert]:
    """Newest first."""
    rows = queries.list_alerts(
        connection, **msgspec.structs.asdict(narrowed), **msgspec.structs.asdict(after), page_limit=limit
    )
    return [_alert(row) async for row in rows]


async def find_alert_place(connection: Connection, alert_id: int) -> AlertPlace | None:
    """None when there is no such alert."""
    at: datetime | None = await queries.find_alert_fired_at(connection, alert_id=alert_id)
    return None if at is None else AlertPlace(at, alert_id)


async def claim_alerts(connection: Connection, *, as_of: datetime, lease: timedelta, limit: int) -> list[ClaimedAlert]:
    """Those that are due, longest first, each counted as tried once more."""
    rows = queries.claim_alerts(connection, as_of=as_of, lease=lease, page_limit=limit)
    return [
        ClaimedAlert(alert=_alert(row), due_at=row["due_at"], delivered_to=frozenset(row["delivered_to"]))
        async for row in rows
    ]


async def settle_alert(connection: Connection, attempt: Attempt) -> None:
    """One that failed after its lease had run out changes nothing."""
    columns = msgspec.structs.asdict(attempt) | {"delivered_to": sorted(attempt.delivered_to)}
    await queries.settle_alert(connection, **columns)


async def lock_alert(connection: Connection, alert_id: int) -> LockedAlert | None:
    """None when there is none."""
    row = await queries.lock_alert(connection, alert_id=alert_id)
    return None if row is None else LockedAlert(row["state"], row["tenant_id"])


async def requeue_alert(connection: Connection, alert_id: int, *, as_of: datetime) -> Alert:
    """Due at once. It must be there."""
    return _alert(await queries.requeue_alert(connection, alert_id=alert_id, as_of=as_of))


async def prune_alerts(connection: Connection, *, as_of: datetime, keep: timedelta, limit: int) -> int:
    """Delete up to `limit` alerts that fired longer than `keep` ago; how many. Those of open windows stay."""
    count: int = await queries.prune_alerts(connection, as_of=as_of, keep=keep, page_limit=limit)
    return count


def _alert(row: Mapping[str, Any]) -> Alert:
    owners = ("customer_id", "team_id", "virtual_key_id")
    return Alert(
        id=row["id"],
        budget_id=row["budget_id"],
        owner=AlertOwner(row["owner_type"], row["owner_id"], row["owner_name"]),
        threshold_percent=row["threshold_percent"],
        max_limit=_usd(row["max_limit_nanousd"]),
        used=_usd(row["used_nanousd"]),
        window_start=row["window_start"],
        fired_at=row["fired_at"],
        state=row["state"],
        attempts=row["attempts"],
        last_error=row["last_error"] or UNSET,
        delivered_at=row["delivered_at"] or UNSET,
        **{name: row[name] for name in owners if row[name] is not None},
    )


def _usd(amount_nanousd: int) -> Any:
    """Written out, not through a double: exact at any size."""
    return Raw(nanousd_to_json(amount_nanousd))
