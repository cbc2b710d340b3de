"""`GET …/limits`: every limit on the path, where it stands, and what that number is made of."""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from service.app import build_app
from service.counters.client import CounterClient
from service.counters.meters import merge_windows
from service.demo.shape import DemoShape
from service.domain.meters import Meter
from service.domain.sealing import Sealer
from service.domain.usage import UsageEvent
from service.domain.windows import to_us, window_at
from service.settings import Settings
from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.api.calls import API, send
from tests.api.conftest import closed_port
from tests.conftest import Clock, TestApi
from tests.demo.trees import write
from tests.factories import Factory, meter_of_budget, meter_of_rate_limit, usage_event
from tests.governance.using import only_meters_key

TENANT = "customer:acme"
OWNERS = {"customer_id": "acme", "team_id": "research", "virtual_key_id": "bot"}
USD = 10**9


@pytest.fixture
async def tree(make: Factory) -> None:
    """Customer acme, its team research, the team's virtual key bot."""
    await make.customer(id="acme", name="Acme", max_parallel_requests=9)
    await make.team(id="research", name="Research", customer_id="acme")
    await make.virtual_key(id="bot", name="Bot", team_id="research")


@pytest.fixture
async def budget(connection: Connection, tree: None, make: Factory) -> Meter:
    """The meter of the customer's budget of 10 USD a day, begun three hours ago."""
    anchor = datetime.now(UTC) - timedelta(hours=3)
    await make.budget(id="b", customer_id="acme", anchored_at=anchor, created_at=anchor)
    return (await meter_of_budget(connection, "b"))[1]


async def read(api: TestApi, path: str = "customers/acme", **query: Any) -> list[Any]:
    response = await api.get(f"{API}/{path}/limits", params=query)
    text = await response.text()
    assert response.status == 200, text
    assert response.headers["X-Governance-Usage-Source"] == "live"
    answer = json.loads(text, parse_float=Decimal)
    assert answer["count"] == len(answer["limits"])
    return list(answer["limits"])


async def read_budget(api: TestApi, **query: Any) -> Any:
    (budget,) = [limit for limit in await read(api, **query) if limit["id"] == "b"]
    return budget


async def use(connection: Connection, counters: CounterClient | None, events: Sequence[UsageEvent]) -> None:
    """Recorded, and merged into Redis when its client is given."""
    recorded = await record_usage(connection, events)
    if counters is not None:
        await merge_windows(counters, recorded.windows)


def events_of(meter: Meter, *amounts: int, first: int = 0, at: datetime | None = None) -> list[UsageEvent]:
    """One event of the virtual key for each amount."""
    when = at or datetime.now(UTC)
    return [
        usage_event(f"r-{number}", (TENANT, meter, amount), at=when, **OWNERS)
        for number, amount in enumerate(amounts, first)
    ]


def found(limit: Any) -> list[tuple[str, Any]]:
    """The differences of an explanation, by reason."""
    return [(difference["reason"], difference["amount"]) for difference in limit["explain"]["differences"]]


async def test_an_unused_limit_stands_at_zero(api: TestApi, budget: Meter) -> None:
    limit = await read_budget(api)
    window = window_at(budget.rule, datetime.now(UTC))
    assert datetime.fromisoformat(limit.pop("window_start")) == window.start
    assert datetime.fromisoformat(limit.pop("resets_at")) == window.end
    assert limit == {
        "id": "b",
        "kind": "budget",
        "level": "customer",
        "owner": {"type": "customer", "id": "acme", "name": "Acme"},
        "meter": "budget:b",
        "max_limit": 10,
        "max": 10,
        "used": 0,
        "held": 0,
        "remaining": 10,
        "shadow": False,
        "reset_duration": "1d",
        "epoch": 1,
        "past_windows": [],
        "explain": {
            "ledger": 0,
            "events": 0,
            "carried_over": 0,
            "window_total": 0,
            "live": None,
            "accounted": True,
            "differences": [],
        },
    }


async def test_a_virtual_key_s_path_is_all_it_is_held_against(api: TestApi, tree: None, make: Factory) -> None:
    config = await make.provider_config(virtual_key_id="bot", provider="openai")
    model = await make.model_config(virtual_key_id="bot", model_name="gpt-4o", provider="openai")
    shared = [
        await make.model_config(id="of-model", model_name="gpt-4o"),
        await make.model_config(id="of-provider", model_name="*", provider="openai"),
        await make.model_config(id="of-another", model_name="*", provider="anthropic"),
    ]
    owners: list[dict[str, Any]] = [{name: entity_id} for name, entity_id in OWNERS.items()]
    owners += [{"provider_config_id": config}, *({"model_config_id": each} for each in (model, *shared))]
    for number, owner in enumerate(owners):
        await make.budget(id=f"b-{number}", **owner)
        await make.rate_limit(id=f"l-{number}", **owner)
    expected = [
        ("virtual_key", "virtual_key", "bot", "Bot"),
        ("provider_config", "provider_config", str(config), "openai"),
        ("model_config", "model_config", model, "gpt-4o"),
        ("team", "team", "research", "Research"),
        ("customer", "customer", "acme", "Acme"),
        ("model", "model_config", "of-model", "gpt-4o"),
        ("provider", "model_config", "of-provider", "openai"),
    ]

    def held_against(limits: list[Any]) -> list[tuple[str, ...]]:
        return [(limit["level"], *limit["owner"].values(), limit["kind"]) for limit in limits]

    kinds = ("budget", "tokens", "requests")
    wanted = [(*owner, kind) for owner in expected for kind in kinds]
    parallel = ("customer", "customer", "acme", "Acme", "parallel")
    of_customer = [*((*expected[4], kind) for kind in kinds), parallel]
    wanted.insert(wanted.index((*expected[4], "requests")) + 1, parallel)
    assert held_against(await read(api, "virtual-keys/bot")) == wanted
    assert held_against(await read(api, "teams/research")) == [*((*expected[3], kind) for kind in kinds), *of_customer]
    assert held_against(await read(api, "customers/acme")) == of_customer


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


async def test_what_is_held_takes_room(api: TestApi, redis: Redis, budget: Meter) -> None:
    start_us = to_us(window_at(budget.rule, datetime.now(UTC)).start)
    field = f"budget:b|1|{start_us}"
    held_key = f"gov:{{{TENANT}}}:held"
    for held_field, amount in ((field, 2_500_000_001), ("parallel:customer:acme", 4), (f"budget:b|2|{start_us}", 7)):
        await redis.hset(held_key, held_field, str(amount))
    budget_limit, parallel = await read(api)
    assert (budget_limit["held"], budget_limit["remaining"]) == (Decimal("2.500000001"), Decimal("7.499999999"))
    assert parallel == {
        "id": "acme",
        "kind": "parallel",
        "level": "customer",
        "owner": {"type": "customer", "id": "acme", "name": "Acme"},
        "meter": "parallel:customer:acme",
        "max_limit": 9,
        "max": 9,
        "used": 0,
        "held": 4,
        "remaining": 5,
        "shadow": False,
        "past_windows": [],
    }
    await redis.hset(held_key, field, "11000000000")
    assert (await read_budget(api))["remaining"] == 0
    await redis.hset(held_key, field, "all of it")
    assert (await read_budget(api))["held"] == 0


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


async def test_windows_of_minutes_are_counted_in_redis_only(
    api: TestApi, connection: Connection, redis: Redis, tree: None, make: Factory, clock: Clock
) -> None:
    await make.rate_limit(id="l", customer_id="acme")
    meter = (await meter_of_rate_limit(connection, "l", "request"))[1]
    layout = await connection.fetchval("SELECT layout FROM tenants WHERE id = $1", TENANT)
    start_us = to_us(window_at(meter.rule, clock.now).start)
    await redis.hset(f"gov:{{{TENANT}}}:meters:{layout}", "requests:l", f"1:{start_us}:7")
    (requests,) = [limit for limit in await read(api) if limit["kind"] == "requests"]
    assert (requests["used"], requests["remaining"]) == (7, 53)
    assert (found(requests), requests["explain"]["accounted"]) == ([("live_only", 7)], True)


async def test_past_windows_are_told_latest_first_each_epoch_by_itself(
    api: TestApi, connection: Connection, budget: Meter, clock: Clock
) -> None:
    for days in range(8):
        at = clock.now - timedelta(days=days)
        await use(connection, None, events_of(budget, (days + 1) * USD, first=days, at=at))
    earlier = [(1, days + 1) for days in range(1, 8)]

    async def past(**query: int) -> list[tuple[int, Any]]:
        return [(window["epoch"], window["used"]) for window in (await read_budget(api, **query))["past_windows"]]

    assert await past() == earlier[:5]
    assert await past(past_windows=2) == earlier[:2]
    assert await past(past_windows=0) == []
    await connection.execute("UPDATE budgets SET epoch = epoch + 1")
    assert await past(past_windows=100) == [(1, 1), *earlier]


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


async def test_an_override_raises_what_holds_while_it_lasts(
    api: TestApi, connection: Connection, tree: None, make: Factory, clock: Clock
) -> None:
    anchor = clock.now
    await make.budget(
        id="b",
        customer_id="acme",
        anchored_at=anchor,
        override_mode="cycles",
        override_amount_nanousd=2_500_000_000,
        override_cycles_total=2,
        override_anchor_reset=anchor,
    )
    limit = await read_budget(api)
    assert (limit["max_limit"], limit["max"], limit["remaining"]) == (10, Decimal("12.5"), Decimal("12.5"))
    assert limit["override"] == {
        "mode": "cycles",
        "amount": Decimal("2.5"),
        "cycles_total": 2,
        "cycles_remaining": 2,
    }
    clock.forward(days=1)
    assert (await read_budget(api))["override"]["cycles_remaining"] == 1
    clock.forward(days=1)
    limit = await read_budget(api)
    assert limit["max"] == 10
    assert "override" not in limit


async def test_a_limit_in_shadow_says_so(api: TestApi, tree: None, make: Factory) -> None:
    await make.budget(id="b", customer_id="acme", shadow=True)
    assert (await read_budget(api))["shadow"] is True


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


@pytest.mark.parametrize(
    ("kind", "label"), [("customers", "Customer"), ("teams", "Team"), ("virtual-keys", "Virtual key")]
)
async def test_nobody_has_no_limits(api: TestApi, kind: str, label: str) -> None:
    status, answer = await send(api, "GET", f"{API}/{kind}/nobody/limits")
    assert (status, answer["error"]["message"]) == (404, f"{label} not found")


async def test_an_entity_without_limits_has_an_empty_list(api: TestApi, make: Factory) -> None:
    await make.virtual_key(id="free")
    assert await read(api, "virtual-keys/free") == []


async def test_without_redis_the_ledger_s_totals_are_told(
    connection: Connection,
    settings: Settings,
    budget: Meter,
    aiohttp_client: Callable[..., Awaitable[TestApi]],
) -> None:
    await use(connection, None, events_of(budget, 2 * USD))
    alone = msgspec.structs.replace(settings, redis_url=f"redis://127.0.0.1:{closed_port()}/0")
    api = await aiohttp_client(build_app(alone))
    response = await api.get(f"{API}/customers/acme/limits")
    assert (response.status, response.headers["X-Governance-Usage-Source"]) == (200, "ledger")
    limit, parallel = (await response.json())["limits"]
    assert (limit["used"], limit["held"], limit["remaining"], parallel["held"]) == (2, None, 8, None)
    assert (found(limit), limit["explain"]["accounted"]) == ([("redis_unavailable", -2)], True)


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
