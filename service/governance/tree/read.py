"""Read the tree of customers: exact configuration from Postgres, live usage from Redis, one round trip to each at once.

A read shows one state of the database. When every tenant of the page is cached at its current revision, the revision
query is all that is asked; else the page is read again in a snapshot and what is stale is loaded there. Usage is what
Redis holds; a meter that is cold there is loaded from the ledger and merged. Without Redis, usage is the ledger's.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from service.counters.client import CounterClient, CountersUnavailableError
from service.counters.meters import UNKNOWN_VERSION, read_tenants
from service.domain.meters import Tenant
from service.domain.sealing import Sealer
from service.governance.sharing import SharedRuns
from service.governance.tree.ahead import Asked, CountersAhead
from service.governance.tree.cache import CachedTenant, TreeCache
from service.governance.tree.fill import Filling, fill_with, filling_steps
from service.governance.tree.load import TenantLoader
from service.governance.tree.template import EpochBehindError
from service.governance.tree.usage import Usage, UsageSource
from service.store.customers import CustomerPage, PageQuery, find_customer, find_customer_page
from service.store.postgres import Connection, Store

# A meter reset between our two round trips is read again with its new epoch. Counters that stay ahead of the
# configuration (a database restored from a backup) are left aside for the ledger.
_MAX_ATTEMPTS = 3


class Tree(msgspec.Struct, frozen=True):
    """The JSON of each customer of the page, in order, and each in pieces.

    `etag` is the entity tag of the only customer, when it is one.
    """

    total_count: int
    customers: list[list[bytes]]
    usage_source: UsageSource
    etag: str = ""


class TreeReader:
    """Reads are shared: concurrent callers of one page get one answer, begun after they asked.

    Without a sealer the values of virtual keys are masked: what such a reader keeps holds no secret.
    """

    def __init__(
        self,
        store: Store,
        counters: CounterClient,
        *,
        sealer: Sealer | None,
        cache: TreeCache,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._counters = counters
        self._sealer = sealer
        self._cache = cache
        self._clock = clock
        self._usage = Usage(store, counters)
        self._ahead = CountersAhead(counters, cache)
        self._runs: SharedRuns[PageQuery | str, Tree] = SharedRuns()

    async def page(self, query: PageQuery) -> Tree:
        """The customers of a page. Raises StoreUnavailableError."""
        return await self._runs.join(
            query, lambda: self._read(query, lambda connection: find_customer_page(connection, query))
        )

    async def customer(self, customer_id: str) -> Tree:
        """One customer, or none. Raises as `page`."""
        return await self._runs.join(
            customer_id,
            lambda: self._read(customer_id, lambda connection: find_customer(connection, customer_id)),
        )

    async def _read(self, key: PageQuery | str, find: Callable[[Connection], Awaitable[CustomerPage]]) -> Tree:
        asked = self._ahead.ask(key, now=self._clock())
        try:
            for _ in range(_MAX_ATTEMPTS):
                page, tenants = await self._configuration(find)
                self._ahead.remember(key, page.revisions)
                try:
                    return _tree(page, tenants, await self._live(tenants, asked), "live")
                except EpochBehindError:
                    continue
                except CountersUnavailableError:
                    break
        finally:
            if asked is not None:
                asked.end()
        return _tree(page, tenants, await self._from_ledger(tenants), "ledger")

    async def _configuration(
        self, find: Callable[[Connection], Awaitable[CustomerPage]]
    ) -> tuple[CustomerPage, dict[Tenant, CachedTenant]]:
        """The page and each of its tenants, all of one state of the database."""
        async with self._store.connection() as connection:
            page = await find(connection)
        tenants, stale = self._split(page)
        if not stale:
            return page, tenants
        async with self._store.snapshot() as snapshot:
            page = await find(snapshot)
            tenants, stale = self._split(page)
            by_id = {tenant.id: tenant for tenant in stale}
            loader = TenantLoader(snapshot, self._sealer, now=self._clock())
            async for tenant_id, template in loader.load(list(by_id)):
                tenant = by_id[tenant_id]
                tenants[tenant] = cached = CachedTenant(page.revisions[tenant], template)
                self._cache.put(tenant_id, cached)
        return page, tenants

    def _split(self, page: CustomerPage) -> tuple[dict[Tenant, CachedTenant], list[Tenant]]:
        now = self._clock()
        tenants: dict[Tenant, CachedTenant] = {}
        stale: list[Tenant] = []
        for tenant, revision in page.revisions.items():
            cached = self._cache.get(tenant.id, revision, now=now)
            if cached is None:
                stale.append(tenant)
            else:
                tenants[tenant] = cached
        return tenants, stale

    async def _live(self, tenants: dict[Tenant, CachedTenant], asked: Asked | None) -> dict[Tenant, list[bytes]]:
        now = self._clock()
        known = {tenant: cached.known_version(now) for tenant, cached in tenants.items()}
        # As they are known now: another page's read may put an older one in their place while this one waits.
        fragments = {tenant: cached.fragment for tenant, cached in tenants.items()}
        steps = filling_steps()
        incomplete: dict[Tenant, Filling] = {}
        changed = None if asked is None else await asked.answer_to(known)
        if changed is None:
            changed = await read_tenants(self._counters, known)
        for tenant, counters in changed.items():
            cached = tenants[tenant]
            filling = Filling(cached.template, fragments[tenant], now=now, steps=steps)
            await filling.take(counters)
            if filling.cold:
                incomplete[tenant] = filling
            else:
                cached.fragment = fragments[tenant] = filling.finish()
                cached.counters_version = counters.version
        cold = [(tenant, meter) for tenant, filling in incomplete.items() for meter in filling.cold]
        loaded = await self._usage.load_cold(cold, now=now)
        for tenant, filling in incomplete.items():
            await filling.complete(loaded)
            cached = tenants[tenant]
            # With a meter just loaded the version is not of what is filled in: the next read asks for all again.
            cached.counters_version = UNKNOWN_VERSION
            cached.fragment = fragments[tenant] = filling.finish()
        return {tenant: fragment.bodies for tenant, fragment in fragments.items() if fragment is not None}

    async def _from_ledger(self, tenants: dict[Tenant, CachedTenant]) -> dict[Tenant, list[bytes]]:
        """Nothing of this is kept: the next read asks Redis first again."""
        now = self._clock()
        parts = (part for cached in tenants.values() for part in cached.template.parts)
        states = await self._usage.in_ledger([meter for part in parts for meter in part.meters], now=now)
        steps = filling_steps()
        return {
            tenant: await fill_with(cached.template, states, now=now, steps=steps) for tenant, cached in tenants.items()
        }


def _tree(
    page: CustomerPage,
    tenants: dict[Tenant, CachedTenant],
    bodies: dict[Tenant, list[bytes]],
    source: UsageSource,
) -> Tree:
    etag = next(iter(tenants.values())).etag() if len(tenants) == 1 else ""
    return Tree(page.total_count, [bodies[tenant] for tenant in page.revisions], source, etag)
