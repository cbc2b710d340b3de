"""The usage ledger and the running totals of meters.

What `record_usage` has committed is acknowledged for good: every total can be made again from it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from service.domain.meters import Meter, MeterState, MeterWindow, Tenant
from service.domain.usage import MeterCharge, UsageEvent
from service.domain.windows import from_us, window_at
from service.store.ledger_batch import columns_of_batch
from service.store.postgres import Connection
from service.store.queries import queries

# An arbitrary constant: no other advisory lock of this database uses it.
_RECONCILER_LOCK_ID = 4_701_201_978
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


class Recorded(msgspec.Struct, frozen=True):
    """Which request ids were new, and the absolute totals of the windows they touched."""

    fresh_request_ids: frozenset[str]
    windows: tuple[MeterWindow, ...]


async def record_usage(connection: Connection, events: Sequence[UsageEvent]) -> Recorded:
    """Write a batch in one transaction. An event whose request id is in the ledger already changes nothing.

    Raises ValueError when the batch itself repeats a request id: which of the two counts is the caller's to decide.
    """
    if len({event.request_id for event in events}) != len(events):
        raise ValueError("a batch holds each request id once")
    row = await queries.record_usage(connection, **columns_of_batch(events))
    tenants = map(Tenant, row["tenant_ids"], row["layouts"])
    windows = map(MeterWindow, row["meter_ids"], tenants, row["epochs"], row["window_starts"], row["used"])
    return Recorded(fresh_request_ids=frozenset(row["fresh_request_ids"]), windows=tuple(windows))


async def find_totals(connection: Connection, charges: Sequence[MeterCharge]) -> list[MeterWindow]:
    """The totals of the windows these were charged to, of the limits that are still there."""
    rows = queries.find_totals(
        connection,
        meter_ids=[charge.meter_id for charge in charges],
        epochs=[charge.epoch for charge in charges],
        window_starts=[from_us(charge.window_start_us) for charge in charges],
    )
    return [_window(row) async for row in rows]


async def load_meter_states(connection: Connection, meters: Sequence[Meter], *, now: datetime) -> dict[str, MeterState]:
    """The state of each meter in its window at `now`; one that was not used stands at zero."""
    starts = [window_at(meter.rule, now).start for meter in meters]
    used: Mapping[str, int] = {
        row["meter_id"]: row["used"]
        async for row in queries.find_meter_windows(
            connection,
            meter_ids=[meter.id for meter in meters],
            epochs=[meter.epoch for meter in meters],
            window_starts=starts,
        )
    }
    return {
        meter.id: MeterState(epoch=meter.epoch, window_start=start, used=used.get(meter.id, 0))
        for meter, start in zip(meters, starts, strict=True)
    }


async def list_windows(connection: Connection, last: MeterWindow | None, *, limit: int) -> list[MeterWindow]:
    """A page of all totals: those after `last`, from the first when that is None."""
    return [_window(row) async for row in queries.list_meter_windows(connection, **_after(last), page_limit=limit)]


async def list_recent_windows(
    connection: Connection, last: MeterWindow | None, *, look_back: timedelta, limit: int
) -> list[MeterWindow]:
    """A page of the totals that changed within `look_back`, as `list_windows`."""
    rows = queries.list_recent_meter_windows(connection, look_back=look_back, **_after(last), page_limit=limit)
    return [_window(row) async for row in rows]


async def try_lock_reconciler(connection: Connection) -> bool:
    """Whether this connection reconciles; it holds the lock until its transaction ends."""
    locked: bool = await queries.try_lock_reconciler(connection, lock_id=_RECONCILER_LOCK_ID)
    return locked


def _after(last: MeterWindow | None) -> dict[str, Any]:
    last = last or MeterWindow("", Tenant("", 0), 0, _BEFORE_ALL, 0)
    return {"meter_id": last.meter_id, "epoch": last.epoch, "window_start": last.window_start}


def _window(row: Mapping[str, Any]) -> MeterWindow:
    return MeterWindow(
        row["meter_id"], Tenant(row["tenant_id"], row["layout"]), row["epoch"], row["window_start"], row["used"]
    )
