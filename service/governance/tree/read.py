"""Read the tree of customers: exact configuration from Postgres, live usage from Redis, one round trip to each.

A read shows one state of the database. When every tenant of the page is cached at its current revision, the revision
query is all that is asked; else the page is read again in a snapshot and what is stale is loaded there. Usage is what
Redis holds; a meter that is cold there is loaded from the ledger and merged. Without Redis, usage is the ledger's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Literal, TypeVar

import msgspec

from service.counters.client import CounterClient, CountersUnavailableError
from service.counters.meters import UNKNOWN_VERSION, TenantCounters, merge_windows, read_tenants
from service.domain.meters import Meter, MeterState, MeterWindow
from service.domain.sealing import Sealer
from service.governance.sharing import SharedRuns
from service.governance.tree.build import TreeBuilder
from service.governance.tree.cache import CachedTenant, TreeCache
from service.governance.tree.template import EpochBehindError, fill
from service.store.customers import CustomerPage, PageQuery, find_customer, find_customer_page
from service.store.ledger import load_meter_states
from service.store.postgres import Connection, Store
from service.store.trees import load_tree_rows

UsageSource = Literal["live", "ledger"]

# A meter reset between our two round trips is read again with its new epoch. Counters that stay ahead of the
# configuration (a database restored from a backup) are left aside for the ledger.
_MAX_ATTEMPTS = 3
_TENANTS_PER_LOAD = 25
_METERS_PER_LOAD = 5000
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
    ) -> tuple[CustomerPage, dict[str, CachedTenant]]:
        """The page and each of its tenants, all of one state of the database."""
        async with self._store.connection() as connection:
            page = await find(connection)
        tenants, stale = self._split(page)
        if not stale:
            return page, tenants
        async with self._store.snapshot() as snapshot:
            page = await find(snapshot)
            tenants, stale = self._split(page)
            for tenant_ids in _chunks(stale, _TENANTS_PER_LOAD):
                rows = await load_tree_rows(snapshot, tenant_ids)
                builder = TreeBuilder(rows, self._sealer, self._clock())
                for tenant_id in tenant_ids:
                    cached = CachedTenant(page.revisions[tenant_id], builder.customer(tenant_id))
                    self._cache.put(tenant_id, cached)
                    tenants[tenant_id] = cached
                    await asyncio.sleep(0)  # others' turn: a large page is many tenants' encoding
        return page, tenants

    def _split(self, page: CustomerPage) -> tuple[dict[str, CachedTenant], list[str]]:
        now = self._clock()
        tenants: dict[str, CachedTenant] = {}
        stale: list[str] = []
        for tenant_id, revision in page.revisions.items():
            cached = self._cache.get(tenant_id, revision, now=now)
            if cached is None:
                stale.append(tenant_id)
            else:
                tenants[tenant_id] = cached
        return tenants, stale

    async def _live(self, tenants: dict[str, CachedTenant]) -> dict[str, bytes]:
        now = self._clock()
        known = {tenant_id: tenant.known_version(now) for tenant_id, tenant in tenants.items()}
        changed = await read_tenants(self._counters, known)
        cold = await self._load_cold(tenants, changed, now=now)
        for tenant_id, counters in changed.items():
            tenant = tenants[tenant_id]
            states = _states_of(tenant, counters)
            fragment = fill(tenant.template, cold | states, now=now)
            # With a meter just loaded the version is not of what was filled in: the next read asks for all again.
            complete = len(states) == len(tenant.template.meters)
            tenant.counters_version = counters.version if complete else UNKNOWN_VERSION
            tenant.fragment = fragment
            await asyncio.sleep(0)
        return {tenant_id: tenant.fragment.body for tenant_id, tenant in tenants.items() if tenant.fragment is not None}

    async def _load_cold(
        self, tenants: dict[str, CachedTenant], changed: dict[str, TenantCounters], *, now: datetime
    ) -> dict[str, MeterState]:
        """Load the meters Redis does not have from the ledger, and merge them there."""
        cold = [
            (tenant_id, meter)
            for tenant_id, counters in changed.items()
            for meter in tenants[tenant_id].template.meters
            if counters.state_of(meter.id) is None
        ]
        states: dict[str, MeterState] = {}
        for chunk in _chunks(cold, _METERS_PER_LOAD):
            loaded = await self._load_states([meter for _, meter in chunk], now=now)
            states |= loaded
            await merge_windows(self._counters, [_window(tenant_id, meter, loaded) for tenant_id, meter in chunk])
        return states

    async def _from_ledger(self, tenants: dict[str, CachedTenant]) -> dict[str, bytes]:
        """Nothing of this is kept: the next read asks Redis first again."""
        now = self._clock()
        meters = [meter for tenant in tenants.values() for meter in tenant.template.meters]
        states: dict[str, MeterState] = {}
        for chunk in _chunks(meters, _METERS_PER_LOAD):
            states |= await self._load_states(chunk, now=now)
        bodies: dict[str, bytes] = {}
        for tenant_id, tenant in tenants.items():
            bodies[tenant_id] = fill(tenant.template, states, now=now).body
            await asyncio.sleep(0)
        return bodies

    async def _load_states(self, meters: Sequence[Meter], *, now: datetime) -> dict[str, MeterState]:
        async with self._store.connection() as connection:
            return await load_meter_states(connection, meters, now=now)


def _tree(page: CustomerPage, bodies: dict[str, bytes], source: UsageSource) -> Tree:
    return Tree(page.total_count, [bodies[tenant_id] for tenant_id in page.revisions], source)


def _states_of(tenant: CachedTenant, counters: TenantCounters) -> dict[str, MeterState]:
    states = ((meter.id, counters.state_of(meter.id)) for meter in tenant.template.meters)
    return {meter_id: state for meter_id, state in states if state is not None}


def _window(tenant_id: str, meter: Meter, states: dict[str, MeterState]) -> MeterWindow:
    state = states[meter.id]
    return MeterWindow(meter.id, tenant_id, state.epoch, state.window_start, state.used)


def _chunks(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
