"""The usage a read shows: what the counters hold now, whatever happened to Redis before."""

from decimal import Decimal
from typing import Any

import pytest
from redis.asyncio import Redis

from service.store.postgres import Connection
from tests.conftest import TestApi
from tests.factories import Factory, meter_of_budget, meter_of_rate_limit
from tests.governance.using import WHOLE, Replica, decoded, only_meters_key
from tests.reading import read_only_customer


async def test_usage_shows_at_every_level_in_the_next_read(
    replica: Replica, api: TestApi, make: Factory, connection: Connection
) -> None:
    await make.customer(id="acme")
    await make.team(id="research", customer_id="acme")
    await make.virtual_key(id="key", team_id="research")
    config_id = await make.provider_config(virtual_key_id="key")
    owners: tuple[dict[str, Any], ...] = (
        {"customer_id": "acme"},
        {"team_id": "research"},
        {"virtual_key_id": "key"},
        {"provider_config_id": config_id},
    )
    amounts = []
    for number, owner in enumerate(owners, start=1):
        budget_id, rate_limit_id = await make.budget(**owner), await make.rate_limit(**owner)
        amounts.append((*await meter_of_budget(connection, budget_id), number * 10**9))
        amounts.append((*await meter_of_rate_limit(connection, rate_limit_id, "token"), number * 100))
        amounts.append((*await meter_of_rate_limit(connection, rate_limit_id, "request"), number))
    assert (await read_only_customer(api))["budget"]["current_usage"] == 0
    await replica.book(*amounts)
    customer = await read_only_customer(api)
    team = customer["teams"][0]
    virtual_key = team["virtual_keys"][0]
    for number, owner in enumerate((customer, team, virtual_key, virtual_key["provider_configs"][0]), start=1):
        rate_limit = owner["rate_limit"]
        assert owner["budgets"][0]["current_usage"] == number
        assert (rate_limit["token_current_usage"], rate_limit["request_current_usage"]) == (number * 100, number)


@pytest.mark.parametrize(
    ("amounts_nanousd", "shown"),
    [
        ([100_000_000, 200_000_000], "0.3"),
        ([1], "0.000000001"),
        ([10_000_000] * 3, "0.03"),
        ([2**53, 1], "9007199.254740993"),
        ([8_999_999_999_999_999_999], "8999999999.999999999"),
        ([9_000_000_000_000_000_000], "9000000000"),
    ],
)
async def test_money_is_shown_exactly(
    replica: Replica, make: Factory, connection: Connection, amounts_nanousd: list[int], shown: str
) -> None:
    await make.customer(id="acme")
    tenant_id, meter = await meter_of_budget(connection, await make.budget(customer_id="acme"))
    for amount_nanousd in amounts_nanousd:
        await replica.book((tenant_id, meter, amount_nanousd))
    tree = await replica.reader.page(WHOLE)
    assert b'"current_usage":%s,' % shown.encode() in b"".join(tree.customers[0])
    assert decoded(tree)[0]["budget"]["current_usage"] == Decimal(shown)


@pytest.mark.parametrize("reads_before", [1, 2, 3])
async def test_a_flushed_redis_changes_nothing(
    replica: Replica, make: Factory, connection: Connection, redis: Redis, reads_before: int
) -> None:
    for customer_id in ("acme", "unused"):
        await make.customer(id=customer_id)
        await make.rate_limit(customer_id=customer_id)
    tenant_id, meter = await meter_of_budget(connection, await make.budget(customer_id="acme"))
    await replica.book((tenant_id, meter, 7))
    for _ in range(reads_before):
        before = await replica.reader.page(WHOLE)
    await redis.flushall()
    await redis.script_flush()
    for _ in range(3):
        assert await replica.reader.page(WHOLE) == before
    await replica.book((tenant_id, meter, 1))
    assert (await replica.customer("acme"))["budget"]["current_usage"] == Decimal("0.000000008")


async def test_one_lost_meter_of_a_tenant_is_loaded_again(
    replica: Replica, make: Factory, connection: Connection, redis: Redis
) -> None:
    await make.customer(id="acme")
    budget_ids = [await make.budget(id=f"b{number}", customer_id="acme") for number in range(3)]
    for budget_id in budget_ids:
        await replica.book((*await meter_of_budget(connection, budget_id), 10**9))
    before = await replica.read()
    assert await redis.hdel(await only_meters_key(redis), "budget:b1") == 1
    await replica.book((*await meter_of_budget(connection, "b0"), 10**9))
    usages = [budget["current_usage"] for budget in (await replica.customer("acme"))["budgets"]]
    assert usages == [2, 1, 1]
    assert [budget["current_usage"] for budget in before[0]["budgets"]] == [1, 1, 1]


async def test_committed_usage_that_was_never_merged_shows_when_redis_is_cold(
    replica: Replica, make: Factory, connection: Connection
) -> None:
    await make.customer(id="acme")
    tenant_id, meter = await meter_of_budget(connection, await make.budget(customer_id="acme"))
    await replica.book((tenant_id, meter, 3 * 10**9), merge=False)
    assert (await replica.customer("acme"))["budget"]["current_usage"] == 3
    await replica.book((tenant_id, meter, 2 * 10**9))
    assert (await replica.customer("acme"))["budget"]["current_usage"] == 5


async def test_a_repeated_report_counts_once(
    replica: Replica, other_replica: Replica, make: Factory, connection: Connection
) -> None:
    await make.customer(id="acme")
    tenant_id, meter = await meter_of_budget(connection, await make.budget(customer_id="acme"))
    await replica.book((tenant_id, meter, 3 * 10**9))
    await other_replica.book((tenant_id, meter, 3 * 10**9))  # its first too: the same request id
    assert (await replica.customer("acme"))["budget"]["current_usage"] == 3


async def test_usage_of_one_customer_shows_at_no_other(replica: Replica, make: Factory, connection: Connection) -> None:
    for customer_id in ("acme", "other"):
        await make.customer(id=customer_id)
        await make.budget(id=f"of {customer_id}", customer_id=customer_id)
    await replica.read()
    await replica.book((*await meter_of_budget(connection, "of acme"), 10**9))
    assert [customer["budget"]["current_usage"] for customer in await replica.read()] == [1, 0]


async def test_counters_ahead_of_the_configuration_leave_the_ledgers_totals(
    replica: Replica, make: Factory, connection: Connection
) -> None:
    """As after the database was restored from a backup: a reset that Redis knows of never happened."""
    await make.customer(id="acme")
    await replica.book((*await meter_of_budget(connection, await make.budget(id="b", customer_id="acme")), 3 * 10**9))
    await connection.execute("UPDATE budgets SET epoch = 2")
    await replica.book((*await meter_of_budget(connection, "b"), 10**9))
    await connection.execute("UPDATE budgets SET epoch = 1")
    tree = await replica.reader.page(WHOLE)
    assert (tree.usage_source, decoded(tree)[0]["budget"]["current_usage"]) == ("ledger", 3)


@pytest.mark.parametrize(
    "stored",
    ["", "garbage", "1", "1:2", "1::5", "-1:5:5", "1:{start}:-5", "1:{start}: 5", "1:{start}:0x5", "1:{start}:5:5",
     "1:{start}:", "1:99999999999999999999999:5", "x:{start}:5", "\udcff\udcfe"],
)  # fmt: skip
async def test_a_damaged_counter_reads_as_the_ledger_says_and_is_repaired(
    replica: Replica, make: Factory, connection: Connection, redis: Redis, stored: str
) -> None:
    await make.customer(id="acme")
    tenant_id, meter = await meter_of_budget(connection, await make.budget(id="b", customer_id="acme"))
    await replica.book((tenant_id, meter, 3 * 10**9))
    key = await only_meters_key(redis)
    whole = await redis.hget(key, "budget:b")
    assert isinstance(whole, bytes)
    damaged = stored.replace("{start}", whole.decode().split(":")[1]).encode(errors="surrogateescape")
    await redis.hset(key, mapping={"budget:b": damaged, "version": "1"})
    for _ in range(2):
        (customer,) = await replica.read()
        assert customer["budget"]["current_usage"] == 3
    assert await redis.hget(key, "budget:b") == whole


async def test_a_key_of_another_type_in_redis_leaves_the_ledgers_totals(
    replica: Replica, make: Factory, connection: Connection, redis: Redis
) -> None:
    await make.customer(id="acme")
    await replica.book((*await meter_of_budget(connection, await make.budget(customer_id="acme")), 10**9))
    await redis.set(await only_meters_key(redis), "not a hash")
    for _ in range(5):
        tree = await replica.reader.page(WHOLE)
        assert (tree.usage_source, decoded(tree)[0]["budget"]["current_usage"]) == ("ledger", 1)
