"""Calls that were refused because Redis did not answer, and may hold all the same: it may have heard them.

What they hold is given back once Redis answers again: a call that was refused is not made, and must not be booked when
its hold expires. What a worker does not live to give back, or is too much to remember, is booked.
"""

from collections import OrderedDict

from service.counters.batching import ScriptBatcher
from service.counters.holds import Settled, settle
from service.domain.meters import Tenant

_MOST_CALLS = 100_000
_CALLS_PER_SCRIPT = 500


class Doubts:
    """By tenant, the request ids that may hold there."""

    def __init__(self, batcher: ScriptBatcher) -> None:
        self._batcher = batcher
        # Not a dict: finding its first entry takes the longer the more were taken out before it.
        self._calls: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    @property
    def request_ids(self) -> list[str]:
        return list(self._calls)

    def add(self, request_id: str, tenant_ids: tuple[str, ...]) -> None:
        self._calls[request_id] = tenant_ids
        if len(self._calls) > _MOST_CALLS:
            self._calls.popitem(last=False)

    def end(self, request_id: str) -> None:
        """It is asked for again: what becomes of it now is what counts."""
        self._calls.pop(request_id, None)

    async def give_back(self, *, now_us: int) -> None:
        """Raises CountersUnavailableError: what is left then is given back later."""
        while self._calls:
            chunk = list(self._calls.items())[:_CALLS_PER_SCRIPT]
            for tenant_id in {tenant_id for _, tenant_ids in chunk for tenant_id in tenant_ids}:
                ended = [request_id for request_id, tenant_ids in chunk if tenant_id in tenant_ids]
                await settle(self._batcher, Tenant(tenant_id, 0), Settled(ended=ended, remember=False), now_us=now_us)
            for request_id, tenant_ids in chunk:
                # Asked for again meanwhile, and refused again: that is another doubt.
                if self._calls.get(request_id) is tenant_ids:
                    del self._calls[request_id]
