"""What a worker holds in memory of virtual keys: right as soon as it is told, bounded, and there without Postgres."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.domain.policy import Policy
from service.domain.pricing import PricedCall, Tokens
from service.domain.sealing import Sealer
from service.governance.policies.cache import GLOBAL_TENANT, Policies, size_of
from service.governance.policies.prices import PriceBook
from service.governance.policies.watch import PolicyWatch
from service.store.postgres import Connection, Store, StoreUnavailableError, connect
from tests.conftest import Clock
from tests.factories import Factory
from tests.gateway import VALUE
from tests.governance.outage import database_away
from tests.servers import Servers
from tests.waiting import until


class WatchedStore(Store):
    """Counts snapshots; while `gate` is not set, what was read of one is not given out yet."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.snapshots = 0
        self.was_read = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        self.snapshots += 1
        async with self._inner.snapshot() as snapshot:
            yield snapshot
        self.was_read.set()
        await self.gate.wait()


@pytest.fixture
def watched(store: Store) -> WatchedStore:
    return WatchedStore(store)


@pytest.fixture
def policies(watched: WatchedStore, sealer: Sealer, clock: Clock) -> Policies:
    return Policies(watched, sealer=sealer, clock=clock)


async def revision_of(connection: Connection, tenant_id: str) -> int:
    return int(await connection.fetchval("SELECT revision FROM tenants WHERE id = $1", tenant_id))


async def tell(policies: Policies, connection: Connection, tenant_id: str) -> None:
    policies.forget(tenant_id, await revision_of(connection, tenant_id))


async def name_of(policies: Policies, value: str = VALUE) -> str | None:
    policy = policies.known(value) or await policies.find(value)
    return None if policy is None else policy.name


async def test_what_was_loaded_is_at_hand_until_its_tenant_changes(
    policies: Policies, watched: WatchedStore, make: Factory, connection: Connection
) -> None:
    await make.virtual_key(id="key", value=VALUE, name="before")
    assert policies.known(VALUE) is None
    for _ in range(3):
        assert await name_of(policies) == "before"
    assert (await policies.find_by_id("key"), watched.snapshots) == (policies.known(VALUE), 1)
    old_revision = await revision_of(connection, "virtual_key:key")
    await connection.execute("UPDATE virtual_keys SET name = 'after'")
    policies.forget("virtual_key:key", old_revision)
    policies.forget("another", old_revision + 10**9)
    assert (await name_of(policies), watched.snapshots) == ("before", 1)
    await tell(policies, connection, "virtual_key:key")
    assert (policies.known(VALUE), await name_of(policies), watched.snapshots) == (None, "after", 2)


async def test_whoever_asks_at_one_time_is_loaded_for_together(
    policies: Policies, watched: WatchedStore, make: Factory
) -> None:
    values = [f"{VALUE}-{number}" for number in range(20)]
    for value in values:
        await make.virtual_key(value=value)
    watched.gate.clear()
    asking = [asyncio.ensure_future(policies.find(value)) for value in [*values, *values]]
    await watched.was_read.wait()
    watched.gate.set()
    found = await asyncio.gather(*asking)
    assert len({policy.virtual_key_id for policy in found if policy is not None}) == 20
    assert watched.snapshots == 1


async def test_what_nobody_has_is_not_asked_for_again_at_once(
    policies: Policies, watched: WatchedStore, make: Factory, connection: Connection
) -> None:
    for _ in range(5):
        assert (await policies.find(VALUE), await policies.find_by_id("key")) == (None, None)
    assert watched.snapshots == 2
    await make.virtual_key(id="key", value=VALUE)
    await tell(policies, connection, "virtual_key:key")
    assert await policies.find(VALUE) is not None


async def test_a_change_that_commits_during_a_load_is_not_missed(
    policies: Policies, watched: WatchedStore, make: Factory, connection: Connection
) -> None:
    await make.virtual_key(id="key", value=VALUE, name="before")
    watched.gate.clear()
    loading = asyncio.ensure_future(policies.find(VALUE))
    await watched.was_read.wait()
    await connection.execute("UPDATE virtual_keys SET name = 'after'")
    await tell(policies, connection, "virtual_key:key")
    watched.gate.set()
    policy = await loading
    assert policy is not None
    assert (policy.name, policies.known(VALUE), await name_of(policies)) == ("before", None, "after")


async def test_a_change_of_the_deployment_during_a_load_is_not_missed(
    policies: Policies, watched: WatchedStore, make: Factory, connection: Connection
) -> None:
    config = await make.model_config(model_name="gpt-4o")
    watched.gate.clear()
    loading = asyncio.ensure_future(policies.whole())
    await watched.was_read.wait()
    await make.budget(model_config_id=config)
    await tell(policies, connection, GLOBAL_TENANT)
    watched.gate.set()
    await loading
    assert [len(each.limits) for each in (await policies.whole()).model_limits] == [1]


async def test_the_deployments_limits_are_loaded_once_for_all_who_ask(
    policies: Policies, watched: WatchedStore
) -> None:
    await asyncio.gather(*(policies.whole() for _ in range(10)))
    assert watched.snapshots == 1


async def test_what_is_doubted_is_loaded_again_and_good_enough_without_postgres(
    policies: Policies, make: Factory, connection: Connection, servers: Servers, database_url: str
) -> None:
    await make.virtual_key(value=VALUE, name="before")
    await make.virtual_key(value="sk-bf-2")
    assert await name_of(policies) == "before"
    await policies.whole()
    policies.doubt_all()
    async with database_away(servers.postgres_url, database_url):
        assert (policies.known(VALUE), await name_of(policies)) == (None, "before")
        await policies.whole()
        with pytest.raises(StoreUnavailableError):
            await policies.find("sk-bf-2")
    admin = await connect(database_url)
    await admin.execute("UPDATE virtual_keys SET name = 'after' WHERE name = 'before'")
    await admin.close()
    assert await name_of(policies) == "after"


async def test_it_holds_no_more_than_its_bytes_and_drops_what_it_loaded_first(
    watched: WatchedStore, sealer: Sealer, clock: Clock, make: Factory
) -> None:
    values = [f"{VALUE}-{number}" for number in range(10)]
    for value in values:
        await make.budget(virtual_key_id=await make.virtual_key(value=value))
    first = await Policies(watched, sealer=sealer, clock=clock).find(values[0])
    assert first is not None
    policies = Policies(watched, sealer=sealer, clock=clock, max_bytes=3 * size_of(first))
    for value in values:
        assert await policies.find(value) is not None
        assert policies.size_bytes <= 3 * size_of(first)
    assert [value for value in values if policies.known(value)] == values[-3:]
    policies.doubt_all()
    for value in values[-3:]:
        await policies.find(value)
    assert policies.size_bytes == 3 * size_of(first)


async def test_a_key_that_moved_is_of_its_new_tenant_and_forgotten_with_it(
    policies: Policies, make: Factory, connection: Connection
) -> None:
    await make.customer(id="here")
    await make.customer(id="there")
    await make.virtual_key(value=VALUE, customer_id="here", name="before")
    assert tenant_of(await policies.find(VALUE)) == "customer:here"
    await connection.execute("UPDATE virtual_keys SET customer_id = 'there'")
    await tell(policies, connection, "customer:here")
    assert tenant_of(await policies.find(VALUE)) == "customer:there"
    await connection.execute("UPDATE virtual_keys SET name = 'after'")
    policies.forget("customer:here", 2**62)
    assert await name_of(policies) == "before"
    await tell(policies, connection, "customer:there")
    assert await name_of(policies) == "after"


def tenant_of(policy: Policy | None) -> str:
    assert policy is not None
    return policy.tenant.id


async def test_prices_are_loaded_once_for_all_who_ask_and_again_when_they_are_doubted(
    watched: WatchedStore, connection: Connection
) -> None:
    prices, call = PriceBook(watched), PricedCall(model="m", provider_id="p")
    await connection.execute("INSERT INTO model_prices (provider, model, input_nanousd) VALUES ('p', 'm', 1000000)")
    for refresh in (prices.refresh, prices.have):
        prices.doubt()
        watched.gate.clear()
        asking = [asyncio.ensure_future(refresh()) for _ in range(3)]
        await asyncio.sleep(0)
        asking += [asyncio.ensure_future(refresh()) for _ in range(3)]
        watched.gate.set()
        await asyncio.gather(*asking)
        # Whoever asked while they were loaded waited as well.
        assert prices.cost_nanousd(call, Tokens(input_tokens=7)) == 7
    assert watched.snapshots == 2


async def test_prices_that_change_during_a_load_are_loaded_again(watched: WatchedStore, connection: Connection) -> None:
    prices, call = PriceBook(watched), PricedCall(model="m", provider_id="p")
    watched.gate.clear()
    loading = asyncio.ensure_future(prices.refresh())
    await watched.was_read.wait()
    await connection.execute("INSERT INTO model_prices (provider, model, input_nanousd) VALUES ('p', 'm', 1000000)")
    prices.doubt()
    watched.gate.set()
    await loading
    await prices.refresh()
    assert prices.cost_nanousd(call, Tokens(input_tokens=7)) == 7


async def test_prices_loaded_before_hold_while_postgres_is_away(
    store: Store, connection: Connection, servers: Servers, database_url: str
) -> None:
    prices, call = PriceBook(store), PricedCall(model="m", provider_id="p")
    await connection.execute("INSERT INTO model_prices (provider, model, input_nanousd) VALUES ('p', 'm', 1000000)")
    await prices.refresh()
    prices.doubt()
    async with database_away(servers.postgres_url, database_url):
        await prices.refresh()
        assert prices.cost_nanousd(call, Tokens(input_tokens=7)) == 7


@pytest.fixture
async def watching(database_url: str, store: Store, policies: Policies) -> AsyncIterator[PriceBook]:
    """A worker that is told of changes, and its prices."""
    prices, stop = PriceBook(store), asyncio.Event()
    watch = asyncio.create_task(PolicyWatch(database_url, policies, prices).watch(stop))
    yield prices
    stop.set()
    await watch


async def test_every_change_is_told_to_workers_that_watch(
    watching: PriceBook, policies: Policies, make: Factory, connection: Connection
) -> None:
    await make.virtual_key(id="key", value=VALUE, name="0")
    client = await make.mcp_client(name="files")
    for number in range(1, 4):
        await connection.execute("UPDATE virtual_keys SET name = $1", str(number))
        await until(lambda number=number: is_named(policies, str(number)))  # type: ignore[misc]
    assert (await policies.whole()).default_mcp == ()
    await connection.execute("UPDATE mcp_clients SET allow_by_default = true WHERE id = $1", client)
    await until(lambda: knows_a_default_client(policies))
    await connection.execute("DELETE FROM virtual_keys")
    await until(lambda: is_gone(policies))


async def is_named(policies: Policies, name: str) -> bool:
    return await name_of(policies) == name


async def knows_a_default_client(policies: Policies) -> bool:
    return len((await policies.whole()).default_mcp) == 1


async def is_gone(policies: Policies) -> bool:
    policy = await policies.find(VALUE)
    return policy is not None and policy.is_deleted


async def test_a_change_nobody_was_told_of_is_found_by_asking(
    watching: PriceBook, policies: Policies, make: Factory, connection: Connection
) -> None:
    await make.virtual_key(id="key", value=VALUE, name="before")
    await until(lambda: is_named(policies, "before"))
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("UPDATE virtual_keys SET name = 'after'")
    await connection.execute("UPDATE tenants SET revision = revision + 1, changed_at = now() WHERE id LIKE '%key'")
    await connection.execute("SET session_replication_role = origin")
    await until(lambda: is_named(policies, "after"))


async def test_changes_while_the_connection_was_gone_are_found_when_it_is_back(
    watching: PriceBook, policies: Policies, make: Factory, connection: Connection, servers: Servers, database_url: str
) -> None:
    await make.virtual_key(id="key", value=VALUE, name="before")
    await until(lambda: is_named(policies, "before"))
    async with database_away(servers.postgres_url, database_url):
        pass
    admin = await connect(database_url)
    await admin.execute("SET session_replication_role = replica")
    await admin.execute("UPDATE virtual_keys SET name = 'after'")
    await admin.close()
    await until(lambda: is_named(policies, "after"))


async def test_keys_of_several_teams_loaded_one_by_one_share_the_limits_of_their_customer(
    policies: Policies, make: Factory
) -> None:
    await make.customer(id="acme")
    await make.budget(customer_id="acme")
    for team_id in ("one", "two"):
        await make.team(id=team_id, customer_id="acme")
        await make.budget(team_id=team_id)
        await make.virtual_key(team_id=team_id, value=f"sk-bf-of-{team_id}")
    one, two = [await policies.find(f"sk-bf-of-{team_id}") for team_id in ("one", "two")]
    assert one is not None
    assert two is not None
    levels = [[limits[0].holder.level for limits in policy.shared] for policy in (one, two)]
    assert levels == [["team", "customer"]] * 2
    assert one.shared[0] is not two.shared[0]
    assert one.shared[1] is two.shared[1]
