"""What is kept between reads: used again while nothing changed, never longer, and bounded."""

from datetime import timedelta

import pytest

from service.counters.client import CounterClient
from service.domain.sealing import Sealer
from service.domain.windows import window_at
from service.governance.configuration import etag_of
from service.governance.tree.cache import CachedTenant, TreeCache
from service.governance.tree.parts import TenantFragment, TenantTemplate
from service.governance.tree.shown import show_customers
from service.governance.tree.template import Template
from service.store.customers import PageQuery
from service.store.postgres import Connection, Store
from tests.conftest import Clock
from tests.factories import Factory, meter_of_budget, meter_of_rate_limit
from tests.full_tree import make_full_tree
from tests.governance.using import Replica


async def kept(
    replica: Replica, connection: Connection, customer_id: str = "acme"
) -> tuple[TenantTemplate, TenantFragment]:
    """What the next read of the customer may use again."""
    tenant_id = f"customer:{customer_id}"
    revision = await connection.fetchval("SELECT revision FROM tenants WHERE id = $1", tenant_id)
    cached = replica.cache.get(tenant_id, revision, now=replica.clock())
    assert cached is not None
    assert cached.fragment is not None
    return cached.template, cached.fragment


async def test_while_nothing_changes_the_very_same_fragment_is_used(
    replica: Replica, make: Factory, connection: Connection, clock: Clock
) -> None:
    await make_full_tree(make)
    await replica.read()  # cold: loads and merges the meters
    await replica.read()
    template, fragment = await kept(replica, connection)
    for query in (PageQuery(), PageQuery(search="ac", limit=5)):
        clock.forward(seconds=0.001)
        (pieces,) = (await replica.reader.page(query)).customers
        assert pieces is fragment.bodies
    assert (await replica.reader.customer("acme")).customers[0] is fragment.bodies
    kept_template, kept_fragment = await kept(replica, connection)
    assert (kept_template is template, kept_fragment is fragment) == (True, True)


async def test_usage_makes_a_new_fragment_from_the_same_template_of_its_tenant_only(
    replica: Replica, make: Factory, connection: Connection
) -> None:
    for customer_id in ("acme", "other"):
        await make.customer(id=customer_id)
        await make.budget(id=f"of {customer_id}", customer_id=customer_id)
    for _ in range(2):
        await replica.read()
    acme, other = await kept(replica, connection), await kept(replica, connection, "other")
    await replica.book((*await meter_of_budget(connection, "of acme"), 10**9))
    assert [customer["budget"]["current_usage"] for customer in await replica.read()] == [1, 0]
    template, fragment = await kept(replica, connection)
    assert (template is acme[0], fragment is acme[1]) == (True, False)
    assert await kept(replica, connection, "other") == other
    assert (await kept(replica, connection, "other"))[1] is other[1]


async def test_an_edit_makes_a_new_template_of_its_tenant_only(
    replica: Replica, make: Factory, connection: Connection
) -> None:
    for customer_id in ("acme", "other"):
        await make.customer(id=customer_id)
    for _ in range(2):
        await replica.read()
    acme, other = await kept(replica, connection), await kept(replica, connection, "other")
    await connection.execute("UPDATE customers SET name = 'renamed' WHERE id = 'acme'")
    await replica.read()
    assert (await kept(replica, connection))[0] is not acme[0]
    assert (await kept(replica, connection, "other"))[0] is other[0]


async def test_the_first_window_that_ends_makes_a_new_fragment(
    replica: Replica, make: Factory, connection: Connection, clock: Clock
) -> None:
    await make.customer(id="acme")
    rate_limit_id = await make.rate_limit(customer_id="acme")
    for _ in range(2):
        await replica.read()
    _, fragment = await kept(replica, connection)
    _, requests = await meter_of_rate_limit(connection, rate_limit_id, "request")
    assert fragment.valid_until == window_at(requests.rule, clock()).end
    clock.now = fragment.valid_until - timedelta(microseconds=1)
    await replica.read()
    assert (await kept(replica, connection))[1] is fragment
    clock.now = fragment.valid_until
    await replica.read()
    assert (await kept(replica, connection))[1] is not fragment


async def test_the_tag_of_a_customer_comes_with_its_tree_and_is_the_one_its_edits_are_held_to(
    replica: Replica, store: Store, make: Factory, connection: Connection, clock: Clock
) -> None:
    await make_full_tree(make)
    tags = []
    for number in range(3):
        await connection.execute("UPDATE customers SET max_parallel_requests = $1", number + 1)
        await replica.customer("acme")
        asked = sum(store.round_trips.seconds.counts)
        tree = await replica.reader.customer("acme")
        assert sum(store.round_trips.seconds.counts) == asked + 1
        (itself,) = await show_customers(connection, ["acme"], sealer=None, now=clock())
        assert tree.etag == etag_of(itself.template)
        tags.append(tree.etag)
    assert len(set(tags)) == 3


@pytest.mark.parametrize("cache_bytes", [1, 5_000, 20_000])
async def test_a_cache_too_small_for_the_tree_still_answers_right(
    store: Store, counters: CounterClient, sealer: Sealer, clock: Clock, make: Factory, cache_bytes: int
) -> None:
    replica = Replica(store, counters, sealer=sealer, clock=clock, cache_bytes=cache_bytes)
    for number in range(12):
        await make.customer(id=f"c{number:02}")
        await make.virtual_key(id=f"k{number:02}", customer_id=f"c{number:02}", description="x" * 500)
    for _ in range(3):
        customers = await replica.read()
        assert [customer["id"] for customer in customers] == [f"c{number:02}" for number in range(12)]
        assert [customer["virtual_keys"][0]["id"] for customer in customers] == [
            f"k{number:02}" for number in range(12)
        ]
        assert replica.cache.size_bytes <= cache_bytes


def cached(size_bytes: int, revision: int = 1) -> CachedTenant:
    return CachedTenant(revision, TenantTemplate(Template([], [], [], []), [], None, size_bytes))


def test_the_least_recently_used_tenant_goes_first(clock: Clock) -> None:
    cache = TreeCache(30)
    for tenant_id in "abc":
        cache.put(tenant_id, cached(10))
    assert cache.get("a", 1, now=clock()) is not None
    cache.put("d", cached(10))
    assert [tenant_id for tenant_id in "abcd" if cache.get(tenant_id, 1, now=clock())] == ["a", "c", "d"]
    assert cache.size_bytes == 30


def test_a_tenant_at_a_new_revision_takes_the_place_of_the_old(clock: Clock) -> None:
    cache = TreeCache(30)
    cache.put("a", cached(10))
    cache.put("a", cached(25, revision=2))
    assert cache.size_bytes == 25
    assert cache.get("a", 1, now=clock()) is None
    assert cache.get("a", 2, now=clock()) is not None


def test_what_is_larger_than_the_cache_is_not_kept(clock: Clock) -> None:
    cache = TreeCache(30)
    cache.put("a", cached(10))
    cache.put("b", cached(31))
    assert cache.get("b", 1, now=clock()) is None
    assert 0 <= cache.size_bytes <= 30
