"""`GET …/limits`: what the number of a limit is made of, and what is wrong with it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from redis.asyncio import Redis

from service.counters.client import CounterClient
from service.demo.shape import DemoShape
from service.domain.meters import Meter
from service.domain.sealing import Sealer
from service.domain.windows import to_us, window_at
from service.store.postgres import Connection
from tests.api.calls import API, send
from tests.api.limit_reports.asking import USD, events_of, found, read, read_budget, use
from tests.conftest import Clock, TestApi
from tests.demo.trees import write
from tests.factories import Factory, meter_of_budget, meter_of_rate_limit, usage_event
from tests.governance.using import only_meters_key


async def test_what_was_used_is_what_the_events_and_the_counter_say(
    api: TestApi, connection: Connection, counters: CounterClient, budget: Meter
) -> None:
    await use(connection, counters, events_of(budget, 1_234_567_890, 1))
    limit = await read_budget(api)
    assert (limit["used"], limit["remaining"]) == (Decimal("1.234567891"), Decimal("8.765432109"))
    assert limit["explain"] == {
        "ledger": Decimal("1.234567891"),
        "events": 2,
        "carried_over": 0,
        "window_total": Decimal("1.234567891"),
        "live": Decimal("1.234567891"),
        "accounted": True,
        "differences": [],
    }


async def test_an_event_that_is_gone_is_told_of(
    api: TestApi, connection: Connection, counters: CounterClient, budget: Meter
) -> None:
    await use(connection, counters, events_of(budget, USD, 2 * USD, 4 * USD))
    await connection.execute("DELETE FROM usage_events WHERE request_id = 'r-1'")
    limit = await read_budget(api)
    assert found(limit) == [("events_missing", -2)]
    assert limit["explain"]["differences"][0]["between"] == "ledger, window_total"
    assert (limit["explain"]["ledger"], limit["explain"]["events"], limit["explain"]["window_total"]) == (5, 2, 7)
    assert limit["explain"]["accounted"] is False


async def test_the_first_event_s_going_is_not_taken_for_retention(
    api: TestApi, connection: Connection, counters: CounterClient, budget: Meter
) -> None:
    await use(connection, counters, events_of(budget, USD, 2 * USD))
    await connection.execute("DELETE FROM usage_events WHERE request_id = 'r-0'")
    assert found(await read_budget(api)) == [("events_missing", -1)]


async def test_usage_reported_days_later_is_not_taken_for_retention(
    api: TestApi, connection: Connection, counters: CounterClient, tree: None, make: Factory
) -> None:
    days_ago = datetime.now(UTC) - timedelta(days=5)
    await make.budget(id="b", customer_id="acme", reset_duration="30d", anchored_at=days_ago - timedelta(days=1))
    meter = (await meter_of_budget(connection, "b"))[1]
    await use(connection, counters, events_of(meter, USD, 2 * USD, at=days_ago))
    await connection.execute("DELETE FROM usage_events WHERE id = (SELECT max(id) FROM usage_events)")
    assert [reason for reason, _ in found(await read_budget(api))] == ["events_missing"]


async def test_events_that_retention_dropped_are_told_apart(
    api: TestApi, connection: Connection, counters: CounterClient, tree: None, make: Factory
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=9)
    await make.budget(id="b", customer_id="acme", reset_duration="30d", anchored_at=long_ago - timedelta(days=1))
    meter = (await meter_of_budget(connection, "b"))[1]
    await use(connection, counters, events_of(meter, USD, at=long_ago))
    await use(connection, counters, events_of(meter, 2 * USD, first=1))
    await connection.execute("DELETE FROM usage_events WHERE request_id = 'r-0'")
    limit = await read_budget(api)
    assert (found(limit), limit["explain"]["accounted"]) == ([("events_dropped", -1)], True)


async def test_a_total_that_was_changed_is_told_of(
    api: TestApi, connection: Connection, counters: CounterClient, budget: Meter
) -> None:
    await use(connection, counters, events_of(budget, 5 * USD))
    await connection.execute("UPDATE meter_windows SET used = 3000000000")
    limit = await read_budget(api)
    assert found(limit) == [("total_behind", 2), ("live_ahead", 2)]
    assert limit["explain"]["accounted"] is False


async def test_a_counter_that_was_changed_is_told_of(
    api: TestApi, connection: Connection, counters: CounterClient, redis: Redis, budget: Meter
) -> None:
    await use(connection, counters, events_of(budget, 5 * USD))
    start_us = to_us(window_at(budget.rule, datetime.now(UTC)).start)
    await redis.hset(await only_meters_key(redis), "budget:b", f"1:{start_us}:7000000000")
    limit = await read_budget(api)
    assert (limit["used"], found(limit), limit["explain"]["accounted"]) == (7, [("live_ahead", 2)], False)


async def test_usage_that_is_not_in_redis_yet_is_told_of_and_is_no_fault(
    api: TestApi, connection: Connection, counters: CounterClient, budget: Meter
) -> None:
    await use(connection, counters, events_of(budget, USD))
    await use(connection, None, events_of(budget, 2 * USD, first=1))
    limit = await read_budget(api)
    assert (limit["used"], limit["explain"]["window_total"]) == (1, 3)
    assert (found(limit), limit["explain"]["accounted"]) == ([("not_merged", -2)], True)


async def test_a_cold_counter_is_told_of_and_left_cold(
    api: TestApi, connection: Connection, redis: Redis, budget: Meter
) -> None:
    await use(connection, None, events_of(budget, 2 * USD))
    limit = await read_budget(api)
    assert (limit["used"], limit["explain"]["live"]) == (2, None)
    assert (found(limit), limit["explain"]["accounted"]) == ([("cold", -2)], True)
    assert await redis.keys("gov:*:meters*") == []


async def test_usage_carried_into_a_changed_period_is_accounted_for(
    api: TestApi, connection: Connection, counters: CounterClient, budget: Meter
) -> None:
    await use(connection, counters, events_of(budget, 2 * USD))
    change = {"budgets": [{"id": "b", "max_limit": 10, "reset_duration": "7d"}]}
    assert (await send(api, "PUT", f"{API}/customers/acme", change))[0] == 200
    moved = (await meter_of_budget(connection, "b"))[1]
    await use(connection, counters, events_of(moved, 3 * USD, first=1))
    limit = await read_budget(api)
    assert (limit["epoch"], limit["used"]) == (2, 5)
    explained = limit["explain"]
    assert (explained["ledger"], explained["carried_over"], explained["window_total"]) == (3, 2, 5)
    assert (explained["differences"], explained["accounted"]) == ([], True)
    assert [(past["epoch"], past["used"]) for past in limit["past_windows"]] == [(1, 2)]
    await connection.execute("DELETE FROM usage_events WHERE request_id = 'r-1'")
    assert found(await read_budget(api)) == [("events_missing", -3)]


async def test_of_more_events_than_asked_for_the_sum_is_left_open(
    api: TestApi, connection: Connection, counters: CounterClient, budget: Meter
) -> None:
    for number in range(4):
        await use(connection, counters, events_of(budget, USD, first=number))
    limit = await read_budget(api, explain_events=3)
    assert (limit["explain"]["ledger"], found(limit)) == (None, [("too_many_events", 0)])
    assert limit["explain"]["accounted"] is True
    assert (await read_budget(api, explain_events=4))["explain"]["ledger"] == 4
    assert "explain" not in await read_budget(api, explain_events=0)


async def test_events_are_added_up_across_statements(
    api: TestApi, connection: Connection, counters: CounterClient, budget: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.governance.limits.counted._EVENTS_PER_STATEMENT", 3)
    await use(connection, counters, events_of(budget, *(number * USD // 8 for number in range(1, 13))))
    for most in (12, 13, 1000):
        explained = (await read_budget(api, explain_events=most))["explain"]
        assert (explained["ledger"], explained["events"]) == (Decimal("9.75"), 12)


async def test_a_limit_of_the_whole_deployment_is_made_of_everyone_s_events(
    api: TestApi, connection: Connection, counters: CounterClient, tree: None, make: Factory
) -> None:
    anchor = datetime.now(UTC) - timedelta(hours=1)
    everyone = await make.model_config(model_name="gpt-4o")
    await make.budget(id="b", model_config_id=everyone, anchored_at=anchor)
    meter = (await meter_of_budget(connection, "b"))[1]
    others = usage_event("of-another", ("global", meter, USD), at=datetime.now(UTC), virtual_key_id="other")
    await use(connection, counters, [*events_of(meter, 2 * USD), others])
    (limit,) = [limit for limit in await read(api, "virtual-keys/bot") if limit["level"] == "model"]
    assert (limit["used"], limit["explain"]["ledger"], limit["explain"]["events"]) == (3, 3, 2)


async def test_only_the_current_window_of_the_current_epoch_is_explained(
    api: TestApi, connection: Connection, counters: CounterClient, budget: Meter
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    await use(connection, counters, events_of(budget, 5 * USD, at=yesterday))
    await use(connection, counters, events_of(budget, USD, first=1))
    explained = (await read_budget(api))["explain"]
    assert (explained["ledger"], explained["window_total"], explained["live"]) == (1, 1, 1)


async def test_a_short_window_is_explained_though_a_long_one_has_too_many_events(
    api: TestApi, connection: Connection, counters: CounterClient, budget: Meter, make: Factory
) -> None:
    anchor = datetime.now(UTC) - timedelta(days=20, minutes=30)
    await make.rate_limit(id="l", customer_id="acme", anchored_at=anchor, token_reset_duration="1h")
    tokens = (await meter_of_rate_limit(connection, "l", "token"))[1]
    await use(connection, counters, events_of(budget, USD, USD, USD))
    # As of a time when the short window had not begun.
    await connection.execute("UPDATE usage_events SET recorded_at = recorded_at - interval '150 minutes'")
    await use(connection, counters, events_of(tokens, 70, first=3))
    explained = {limit["kind"]: limit["explain"] for limit in await read(api, explain_events=2) if "explain" in limit}
    assert (explained["budget"]["ledger"], explained["tokens"]["ledger"]) == (None, 70)


async def test_every_limit_of_the_demo_tree_is_accounted_for(
    api: TestApi, connection: Connection, sealer: Sealer, clock: Clock
) -> None:
    await write(connection, sealer, DemoShape(2, 2, 8), now=clock.now)
    used = 0
    for kind in ("customers", "teams", "virtual-keys"):
        entities = (await (await api.get(f"{API}/{kind}")).json())[kind.replace("-", "_")]
        for entity in entities:
            for limit in await read(api, f"{kind}/{entity['id']}"):
                explained = limit.get("explain", {"accounted": True, "ledger": 0, "window_total": 0})
                assert explained["accounted"], limit
                assert explained["ledger"] == explained["window_total"]
                used += limit["used"] > 0
    assert used > 20
