"""What Redis is told of usage once it is booked: totals, ends of holds, and usage that is kept there only."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from service.counters.batching import ScriptBatcher
from service.counters.client import CountersUnavailableError
from service.counters.holds import LiveUse, Settled, settle
from service.domain.meters import MeterWindow, Tenant
from service.governance.settlement.waiting import BookedAs, Booking

# Of each kind in one call of a script.
_ENTRIES_PER_CALL = 500
T = TypeVar("T")


async def tell_counters(
    batcher: ScriptBatcher,
    windows: Iterable[MeterWindow],
    booked: Iterable[tuple[Booking, BookedAs]],
    *,
    now_us: int,
) -> None:
    """Of Redis not answering nothing is lost: the reconciler merges what changed, and holds expire."""
    calls = [
        settle(batcher, Tenant(tenant_id, news.layout), settled, now_us=now_us)
        for tenant_id, news in _by_tenant(windows, booked).items()
        for settled in news.in_pieces()
    ]
    for error in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(error, BaseException) and not isinstance(error, CountersUnavailableError):
            raise error


def _by_tenant(windows: Iterable[MeterWindow], booked: Iterable[tuple[Booking, BookedAs]]) -> "dict[str, _TenantNews]":
    by_tenant: defaultdict[str, _TenantNews] = defaultdict(_TenantNews)
    for window in windows:
        news = by_tenant[window.tenant.id]
        news.layout = window.tenant.layout
        news.windows.append(window)
    for booking, booked_as in booked:
        for tenant_id in booking.held_in:
            by_tenant[tenant_id].ended.append(booking.event.request_id)
        for tenant, use in booking.uses:
            if booked_as == "recorded" or use.request_id:
                by_tenant[tenant.id].layout = by_tenant[tenant.id].layout or tenant.layout
                by_tenant[tenant.id].uses.append(use)
    return by_tenant


class _TenantNews:
    """What Redis is told of one tenant."""

    def __init__(self) -> None:
        self.layout = 0
        self.windows: list[MeterWindow] = []
        self.ended: list[str] = []
        self.uses: list[LiveUse] = []

    def in_pieces(self) -> list[Settled]:
        if max(len(self.windows), len(self.ended), len(self.uses)) <= _ENTRIES_PER_CALL:
            return [Settled(self.windows, self.ended, self.uses)]
        pieces = [Settled(windows=windows) for windows in _pieces(self.windows)]
        # Uses count while their calls still hold: they go with the ends of the same calls.
        for ended in _pieces(self.ended):
            of_these = set(ended)
            pieces.append(Settled(ended=ended, uses=[use for use in self.uses if use.request_id in of_these]))
        free = [use for use in self.uses if not use.request_id]
        return pieces + [Settled(uses=uses) for uses in _pieces(free)]


def _pieces(entries: Sequence[T]) -> Iterator[Sequence[T]]:
    return (entries[at : at + _ENTRIES_PER_CALL] for at in range(0, len(entries), _ENTRIES_PER_CALL))
