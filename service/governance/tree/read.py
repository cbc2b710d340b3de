"""Read the tree of customers: exact configuration from Postgres, live usage from Redis, one round trip to each.

A read shows one state of the database. When every tenant of the page is cached at its current revision, the revision
query is all that is asked; else the page is read again in a snapshot and what is stale is loaded there. Usage is what
Redis holds; a meter that is cold there is loaded from the ledger and merged. Without Redis, usage is the ledger's.
"""

import asyncio
from collections import ChainMap
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from service.counters.client import CounterClient, CountersUnavailableError
from service.counters.meters import UNKNOWN_VERSION, TenantCounters, read_tenants
from service.domain.meters import MeterState, Tenant
from service.domain.sealing import Sealer
from service.governance.sharing import SharedRuns
from service.governance.tree.build import TreeBuilder
from service.governance.tree.cache import CachedTenant, TreeCache
from service.governance.tree.template import EpochBehindError, fill
from service.governance.tree.usage import Usage, UsageSource, is_warm
from service.store.customers import CustomerPage, PageQuery, find_customer, find_customer_page
from service.store.postgres import Connection, Store
from service.store.trees import TreeScope, load_tree_rows

# A meter reset between our two round trips is read again with its new epoch. Counters that stay ahead of the
# configuration (a database restored from a backup) are left aside for the ledger.
_MAX_ATTEMPTS = 3
_TENANTS_PER_LOAD = 25
T = TypeVar("T")


class Tree(msgspec.Struct, frozen=True):
    """The JSON of each customer of the page, in order."""

    total_count: int
    customers: list[bytes]
    usage_source: UsageSource


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
        self._runs: SharedRuns[PageQuery | str, Tree] = SharedRuns()

    async def page(self, query: PageQuery) -> Tree:
        """The customers of a page. Raises StoreUnavailableError."""
        return await self._runs.join(
            query, lambda: self._read(lambda connection: find_customer_page(connection, query))
        )

    async def customer(self, customer_id: str) -> Tree:
        """One customer, or none. Raises as `page`."""
        return await self._runs.join(
            customer_id,
            lambda: self._read(lambda connection: find_customer(connection, customer_id)),
        )

    async def _read(self, find: Callable[[Connection], Awaitable[CustomerPage]]) -> Tree:
        for _ in range(_MAX_ATTEMPTS):
            page, tenants = await self._configuration(find)
            try:
                return _tree(page, await self._live(tenants), "live")
            except EpochBehindError:
                continue
            except CountersUnavailableError:
                break
        return _tree(page, await self._from_ledger(tenants), "ledger")

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
            for chunk in _chunks(stale, _TENANTS_PER_LOAD):
                scope = TreeScope(tenant_ids=[tenant.id for tenant in chunk])
                rows = await load_tree_rows(snapshot, scope)
                builder = TreeBuilder(rows, self._sealer, self._clock())
                for tenant in chunk:
                    cached = CachedTenant(page.revisions[tenant], builder.customer_tree(tenant.id))
                    self._cache.put(tenant.id, cached)
                    tenants[tenant] = cached
                    await asyncio.sleep(0)  # others' turn: a large page is many tenants' encoding
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

    async def _live(self, tenants: dict[Tenant, CachedTenant]) -> dict[Tenant, bytes]:
        now = self._clock()
        known = {tenant: cached.known_version(now) for tenant, cached in tenants.items()}
        # As they are known now: another page's read may put an older one in their place while this one waits.
        fragments = {tenant: cached.fragment for tenant, cached in tenants.items()}
        incomplete: dict[Tenant, dict[str, MeterState]] = {}
        for tenant, counters in (await read_tenants(self._counters, known)).items():
            cached = tenants[tenant]
            states = _warm_states(cached, counters)
            if len(states) == len(cached.template.meters):
                cached.counters_version = counters.version
                cached.fragment = fragments[tenant] = fill(cached.template, states, now=now)
            else:
                incomplete[tenant] = states
            await asyncio.sleep(0)
        cold = [
            (tenant, meter)
            for tenant, states in incomplete.items()
            for meter in tenants[tenant].template.meters
            if meter.id not in states
        ]
        loaded = await self._usage.load_cold(cold, now=now)
        for tenant, states in incomplete.items():
            cached = tenants[tenant]
            # With a meter just loaded the version is not of what is filled in: the next read asks for all again.
            cached.counters_version = UNKNOWN_VERSION
            cached.fragment = fragments[tenant] = fill(cached.template, ChainMap(states, loaded), now=now)
            await asyncio.sleep(0)
        return {tenant: fragment.body for tenant, fragment in fragments.items() if fragment is not None}

    async def _from_ledger(self, tenants: dict[Tenant, CachedTenant]) -> dict[Tenant, bytes]:
        """Nothing of this is kept: the next read asks Redis first again."""
        now = self._clock()
        meters = [meter for cached in tenants.values() for meter in cached.template.meters]
        states = await self._usage.in_ledger(meters, now=now)
        bodies: dict[Tenant, bytes] = {}
        for tenant, cached in tenants.items():
            bodies[tenant] = fill(cached.template, states, now=now).body
            await asyncio.sleep(0)
        return bodies


def _tree(page: CustomerPage, bodies: dict[Tenant, bytes], source: UsageSource) -> Tree:
    return Tree(page.total_count, [bodies[tenant] for tenant in page.revisions], source)


def _warm_states(cached: CachedTenant, counters: TenantCounters) -> dict[str, MeterState]:
    """The meters Redis has at their epoch or a newer one; of an older epoch it has nothing to say."""
    states = ((meter, counters.state_of(meter.id)) for meter in cached.template.meters)
    return {meter.id: state for meter, state in states if state is not None and is_warm(meter, state)}


def _chunks(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
