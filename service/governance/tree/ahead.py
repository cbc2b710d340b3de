"""Ask Redis while Postgres is asked: about the tenants a page had when it was last read, which mostly it still has."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Hashable, Mapping
from datetime import datetime

from service.counters.client import CounterClient
from service.counters.meters import TenantCounters, read_tenants
from service.domain.meters import Tenant
from service.governance.tree.cache import TreeCache

_MOST_PAGES = 256
# Of a larger page, to ask one after the other is the smaller part of a read.
_MOST_TENANTS = 25


class Asked:
    """A question that is under way."""

    def __init__(self, counters: CounterClient, known_versions: Mapping[Tenant, str]) -> None:
        self._known_versions = known_versions
        self._answer = asyncio.create_task(read_tenants(counters, known_versions))

    async def answer_to(self, known_versions: Mapping[Tenant, str]) -> dict[Tenant, TenantCounters] | None:
        """The answer, if this is what was asked. Raises CountersUnavailableError."""
        return await self._answer if known_versions == self._known_versions else None

    def end(self) -> None:
        """Nobody waits for the answer any more, nor wants to hear why there is none."""
        self._answer.cancel()


class CountersAhead:
    """Remembers which tenants were on the pages read lately; never more than a guess, to be held against the page."""

    def __init__(self, counters: CounterClient, cache: TreeCache) -> None:
        self._counters = counters
        self._cache = cache
        self._pages: OrderedDict[Hashable, list[Tenant]] = OrderedDict()

    def ask(self, page: Hashable, *, now: datetime) -> Asked | None:
        """None when the page is not known, or something of it has to be loaded anyway."""
        known_versions: dict[Tenant, str] = {}
        for tenant in self._pages.get(page, ()):
            cached = self._cache.peek(tenant.id)
            if cached is None:
                return None
            known_versions[tenant] = cached.known_version(now)
        return Asked(self._counters, known_versions) if known_versions else None

    def remember(self, page: Hashable, tenants: Collection[Tenant]) -> None:
        """What the page has now."""
        self._pages.pop(page, None)
        if len(tenants) <= _MOST_TENANTS:
            self._pages[page] = list(tenants)
        if len(self._pages) > _MOST_PAGES:
            self._pages.popitem(last=False)
