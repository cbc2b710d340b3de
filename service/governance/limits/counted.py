"""What the two stores count of some limits: Redis first, then the ledger, so that Redis is never seen to be ahead."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from service.counters.client import CounterClient, CountersUnavailableError
from service.counters.held import read_held
from service.counters.keys import held_field
from service.counters.meters import read_meters
from service.domain.meters import MeterState, Tenant
from service.domain.windows import to_us
from service.governance.limits.path import LimitNow, WindowNow
from service.store.limit_paths import (
    Charged,
    CurrentWindow,
    EntityPath,
    LedgerStart,
    Stretch,
    WindowTotal,
    find_ledger_start,
    load_past_windows,
    load_window_totals,
    sum_charges,
)
from service.store.postgres import Connection
from service.store.usage_events import EventFilter, EventPlace, find_last_scanned_event

# By how much the clocks of Postgres and of the service may differ, and a report be ahead of both.
_CLOCKS_APART = timedelta(hours=1)
# How many events one statement adds up: a fraction of the time a statement may take.
_EVENTS_PER_STATEMENT = 20_000


class Live(msgspec.Struct, frozen=True):
    """What Redis has, by meter: the states it knows, and what is held now."""

    states: Mapping[str, MeterState]
    held: Mapping[str, int]


class Kept(msgspec.Struct, frozen=True):
    """What Postgres has, by meter. `charged` has no entry where there were too many events to add up."""

    totals: Mapping[str, WindowTotal]
    past: Mapping[str, list[WindowTotal]]
    charged: Mapping[str, Charged]
    start: LedgerStart | None


async def read_live(counters: CounterClient, limits: Sequence[LimitNow], tenants: Mapping[str, Tenant]) -> Live | None:
    """Nothing is loaded into Redis for it. None when it does not answer."""
    meter_ids: defaultdict[Tenant, list[str]] = defaultdict(list)
    fields: defaultdict[str, list[str]] = defaultdict(list)
    for limit in limits:
        if limit.current is not None:
            meter_ids[tenants[limit.tenant_id]].append(limit.meter_id)
        fields[limit.tenant_id].append(field_of(limit))
    try:
        states = await read_meters(counters, meter_ids)
        held = await read_held(counters, fields)
    except CountersUnavailableError:
        return None
    return Live(states, {limit.meter_id: held[field_of(limit)] for limit in limits})


def field_of(limit: LimitNow) -> str:
    current = limit.current
    return held_field(limit.meter_id, current.meter.epoch, to_us(current.window.start)) if current else limit.meter_id


async def read_kept(snapshot: Connection, limits: Sequence[LimitNow], *, past_windows: int, most_events: int) -> Kept:
    """With no events at most, none are added up."""
    windows = [_window(limit.current) for limit in limits if limit.current]
    totals = await load_window_totals(snapshot, windows)
    past = await load_past_windows(snapshot, windows, limit=past_windows)
    if not most_events:
        return Kept(totals, past, {}, None)
    charged: dict[str, Charged] = {}
    for owner, of_owner in _by_owner(limits).items():
        charged |= await _add_up(snapshot, owner, of_owner, most_events)
    return Kept(totals, past, charged, await find_ledger_start(snapshot))


async def _add_up(
    snapshot: Connection, owner: EntityPath, windows: Sequence[CurrentWindow], most_events: int
) -> dict[str, Charged]:
    """Of those windows that have no more events than that; counting them costs little beside adding them up."""
    events = _events(owner, windows)
    beyond = await find_last_scanned_event(snapshot, events, before=None, scan_limit=most_events + 1)
    if beyond is not None:
        windows = [window for window in windows if _first_recorded(window) > beyond.recorded_at]
    charged = {window.meter_id: Charged(0, 0) for window in windows}
    if not windows:
        return charged
    events = _events(owner, windows)
    before: EventPlace | None = None
    for _ in range(0, most_events + 1, _EVENTS_PER_STATEMENT):
        stretch = Stretch(before, _EVENTS_PER_STATEMENT)
        for meter_id, more in (await sum_charges(snapshot, windows, events, stretch)).items():
            known = charged[meter_id]
            charged[meter_id] = Charged(known.events + more.events, known.amount + more.amount)
        before = await find_last_scanned_event(snapshot, events, before=before, scan_limit=_EVENTS_PER_STATEMENT)
        if before is None:
            break
    return charged


def _events(owner: EntityPath, windows: Sequence[CurrentWindow]) -> EventFilter:
    return EventFilter(**msgspec.structs.asdict(owner), from_at=min(map(_first_recorded, windows)))


def _first_recorded(window: CurrentWindow) -> datetime:
    """No event of the window was recorded before."""
    return window.window_start - _CLOCKS_APART


def _by_owner(limits: Sequence[LimitNow]) -> dict[EntityPath, list[CurrentWindow]]:
    owners: defaultdict[EntityPath, list[CurrentWindow]] = defaultdict(list)
    for limit in limits:
        if limit.current is not None:
            owners[limit.holder.charged_by].append(_window(limit.current))
    return owners


def _window(current: WindowNow) -> CurrentWindow:
    return CurrentWindow(current.meter.id, current.meter.epoch, current.window.start)
