"""Where each limit on a path stands, and what its number is made of."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from service.counters.client import CounterClient
from service.domain.explanations import SAYS, Circumstances, Counts, differences, is_accounted
from service.domain.limit_reports import LimitOverride, PastWindow, PathLimit, ShownDifference, ShownExplanation
from service.domain.meters import MeterState, Tenant, used_in
from service.domain.money import nanousd_to_json
from service.governance.limits.counted import Kept, Live, read_kept, read_live
from service.governance.limits.path import LimitNow, WindowNow, limits_on_path
from service.governance.tree.usage import UsageSource, is_warm
from service.store.limit_paths import EntityPath, WindowTotal, find_path, load_path_rows
from service.store.postgres import Store
from service.store.trees import load_tenants
from service.store.usage_sums import plan_for_these_values

# A meter reset between our reads is read again with its new epoch.
_MAX_ATTEMPTS = 3
# Adding up events takes a connection for as long as there are events: the others are for those who report them.
_MOST_AT_ONCE = 2
# Windows that only Redis counts.
_SHORT_US = 3_600_000_000


class LimitReport(msgspec.Struct, frozen=True):
    limits: list[PathLimit]
    usage_source: UsageSource


class LimitReports:
    """Nothing is kept between reads, and nothing is written."""

    def __init__(self, store: Store, counters: CounterClient, *, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._counters = counters
        self._clock = clock
        self._adding_up = asyncio.Semaphore(_MOST_AT_ONCE)

    async def read(self, entity: EntityPath, *, past_windows: int, most_events: int) -> LimitReport | None:
        """Of the entity with the lowest of these ids; None when it is not there. Raises StoreUnavailableError."""
        for _ in range(_MAX_ATTEMPTS):
            found = await self._limits(entity)
            if found is None:
                return None
            limits, tenants = found
            live = await read_live(self._counters, limits, tenants)
            if live is None or not _is_behind(limits, live):
                break
        async with self._adding_up, self._store.snapshot() as snapshot:
            await plan_for_these_values(snapshot)
            kept = await read_kept(snapshot, limits, past_windows=past_windows, most_events=most_events)
        shown = [_shown(limit, live, kept, explain=most_events > 0) for limit in limits]
        return LimitReport(shown, "live" if live else "ledger")

    async def _limits(self, entity: EntityPath) -> tuple[list[LimitNow], dict[str, Tenant]] | None:
        async with self._store.snapshot() as snapshot:
            path = await find_path(snapshot, entity)
            if path is None:
                return None
            limits = limits_on_path(await load_path_rows(snapshot, path), self._clock())
            return limits, await load_tenants(snapshot, list({limit.tenant_id for limit in limits}))


def _is_behind(limits: list[LimitNow], live: Live) -> bool:
    """Whether a counter is of a newer epoch than the configuration at hand: that was changed since it was read."""
    states = ((limit.current, live.states.get(limit.meter_id)) for limit in limits)
    return any(current and state and state.epoch > current.meter.epoch for current, state in states)


def _shown(limit: LimitNow, live: Live | None, kept: Kept, *, explain: bool) -> PathLimit:
    used = _used(limit, live, kept)
    held = live.held[limit.meter_id] if live else None
    return PathLimit(
        id=limit.id,
        kind=limit.kind,
        level=limit.holder.level,
        owner=limit.holder.owner,
        meter=limit.meter_id,
        max_limit=_number(limit, limit.max_limit),
        max=_number(limit, limit.max),
        used=_number(limit, used),
        held=None if held is None else _number(limit, held),
        remaining=_number(limit, max(limit.max - used - (held or 0), 0)),
        shadow=limit.shadow,
        **_window_fields(limit),
        override=_override(limit),
        past_windows=[_past_window(limit, total) for total in kept.past.get(limit.meter_id, [])],
        explain=_explanation(limit, limit.current, live, kept) if explain and limit.current else UNSET,
    )


def _used(limit: LimitNow, live: Live | None, kept: Kept) -> int:
    """As every other read has it: the live counter, or the ledger's total where Redis has none."""
    counted = _live_count(limit, live)
    if counted is not None:
        return counted
    total = kept.totals.get(limit.meter_id)
    return total.used if total else 0


def _live_count(limit: LimitNow, live: Live | None) -> int | None:
    """None when Redis has nothing to say of the meter."""
    state: MeterState | None = live.states.get(limit.meter_id) if live else None
    current = limit.current
    if state is None or current is None or not is_warm(current.meter, state):
        return None
    return used_in(current.window, current.meter, state)


def _window_fields(limit: LimitNow) -> dict[str, Any]:
    current = limit.current
    if current is None:
        return {}
    return {
        "reset_duration": current.reset_duration,
        "epoch": current.meter.epoch,
        "window_start": current.window.start,
        "resets_at": current.window.end,
    }


def _override(limit: LimitNow) -> LimitOverride | UnsetType:
    override = limit.override
    if override is None:
        return UNSET
    return LimitOverride(
        mode=override.mode,
        amount=_number(limit, override.amount_nanousd),
        cycles_total=UNSET if override.cycles_total is None else override.cycles_total,
        cycles_remaining=UNSET if override.cycles_remaining is None else override.cycles_remaining,
    )


def _past_window(limit: LimitNow, total: WindowTotal) -> PastWindow:
    return PastWindow(
        epoch=total.epoch,
        window_start=total.window_start,
        used=_number(limit, total.used),
        carried_over=_number(limit, total.carried),
    )


def _explanation(limit: LimitNow, current: WindowNow, live: Live | None, kept: Kept) -> ShownExplanation:
    total, charged = kept.totals.get(limit.meter_id), kept.charged.get(limit.meter_id)
    counts = Counts(
        ledger=charged.amount if charged else None,
        events=charged.events if charged else 0,
        carried=total.carried if total else 0,
        window_total=total.used if total else 0,
        live=_live_count(limit, live),
    )
    found = differences(counts, _circumstances(current, live, kept))
    return ShownExplanation(
        ledger=None if counts.ledger is None else _number(limit, counts.ledger),
        events=counts.events,
        carried_over=_number(limit, counts.carried),
        window_total=_number(limit, counts.window_total),
        live=None if counts.live is None else _number(limit, counts.live),
        accounted=is_accounted(found),
        differences=[
            ShownDifference(
                between=each.between, amount=_number(limit, each.amount), reason=each.reason, says=SAYS[each.reason]
            )
            for each in found
        ],
    )


def _circumstances(current: WindowNow, live: Live | None, kept: Kept) -> Circumstances:
    start = kept.start
    return Circumstances(
        is_short=current.meter.rule.duration.length_us < _SHORT_US,
        may_be_dropped=start is not None and start.is_cut and current.window.start < start.recorded_at,
        redis_answers=live is not None,
    )


def _number(limit: LimitNow, amount: int) -> Any:
    """Money written out, not through a double: exact at any size."""
    if limit.kind != "budget":
        return amount
    return Raw(nanousd_to_json(amount) if amount >= 0 else b"-" + nanousd_to_json(-amount))
