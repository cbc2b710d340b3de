"""`GET …/limits`: every limit on the path, and where it stands."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from service.app import build_app
from service.counters.keys import held_field
from service.domain.meters import Meter
from service.domain.windows import to_us, window_at
from service.settings import Settings
from service.store.postgres import Connection
from tests.api.calls import API, send
from tests.api.conftest import closed_port
from tests.api.limit_reports.asking import OWNERS, TENANT, USD, events_of, found, read, read_budget, use
from tests.conftest import Clock, TestApi
from tests.factories import Factory, meter_of_rate_limit


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


async def test_what_is_held_takes_room(api: TestApi, redis: Redis, budget: Meter) -> None:
    start_us = to_us(window_at(budget.rule, datetime.now(UTC)).start)
    field = held_field("budget:b", 1, start_us)
    held_key = f"gov:{{{TENANT}}}:held"
    held = {field: 2_500_000_001, "parallel:customer:acme": 4, held_field("budget:b", 2, start_us): 7}
    await redis.hset(held_key, mapping={each: str(amount) for each, amount in held.items()})
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
