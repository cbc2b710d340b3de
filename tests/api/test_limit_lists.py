"""All budgets and rate limits, as their owners show them, however many there are."""

from collections.abc import Iterator
from typing import Any

import pytest

from service.http import reading
from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.api.test_customer_changes import send, spend
from tests.conftest import Clock, TestApi
from tests.factories import Factory, meter_of_rate_limit, usage_event
from tests.full_tree import make_full_tree
from tests.reading import CUSTOMERS

BUDGETS = "/api/governance/budgets"
RATE_LIMITS = "/api/governance/rate-limits"


async def listed(api: TestApi, path: str, field: str) -> Any:
    status, answer = await send(api, "GET", f"{path}?from_memory=true")
    assert status == 200, answer
    assert answer["count"] == len(answer[field])
    return answer[field]


def under(name: str, value: Any) -> Iterator[Any]:
    """Every value anywhere in a document that is under this name."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == name:
                yield item
            yield from under(name, item)
    elif isinstance(value, list):
        for item in value:
            yield from under(name, item)


def by_id(limits: Any) -> dict[str, Any]:
    return {limit["id"]: limit for limit in limits}


@pytest.mark.parametrize(("path", "field"), [(BUDGETS, "budgets"), (RATE_LIMITS, "rate_limits")])
async def test_nothing_is_an_empty_list(api: TestApi, path: str, field: str) -> None:
    assert await send(api, "GET", path) == (200, {field: [], "count": 0})


async def test_each_limit_is_as_its_owner_shows_it(
    api: TestApi, make: Factory, connection: Connection, clock: Clock
) -> None:
    await make_full_tree(make)
    of_model = await make.model_config(virtual_key_id="of-team", provider="openai")
    await make.budget(model_config_id=of_model)
    await make.rate_limit(model_config_id=of_model)
    await connection.execute("UPDATE teams SET calendar_aligned = true, time_zone = 'Asia/Tokyo'")
    await connection.execute("UPDATE virtual_keys SET calendar_aligned = true, time_zone = 'America/New_York'")
    await connection.execute("UPDATE model_configs SET calendar_aligned = true, time_zone = 'Europe/Berlin'")
    _, tree = await send(api, "GET", CUSTOMERS)
    shown = by_id(budget for budgets in under("budgets", tree) for budget in budgets)
    owners = ("customer_id", "team_id", "virtual_key_id", "provider_config_id", "model_config_id")
    assert all(any(owner in budget for budget in shown.values()) for owner in owners)
    assert by_id(await listed(api, BUDGETS, "budgets")) == shown
    assert by_id(await listed(api, RATE_LIMITS, "rate_limits")) == by_id(under("rate_limit", tree))


async def test_usage_is_live(api: TestApi, make: Factory, connection: Connection, clock: Clock) -> None:
    customer = await make.customer()
    budget, rate_limit = await make.budget(customer_id=customer), await make.rate_limit(customer_id=customer)
    await spend(connection, clock, budget, 1_250_000_000)
    tenant_id, meter = await meter_of_rate_limit(connection, rate_limit, "token")
    await record_usage(connection, [usage_event("tokens", (tenant_id, meter, 70), at=clock())])
    [shown] = await listed(api, BUDGETS, "budgets")
    assert (shown["id"], shown["current_usage"]) == (budget, 1.25)
    [shown] = await listed(api, RATE_LIMITS, "rate_limits")
    assert (shown["token_current_usage"], shown["request_current_usage"]) == (70, 0)


@pytest.mark.parametrize("count", [2, 3, 4, 6, 7])
async def test_many_are_read_in_pieces_and_none_is_missing_or_there_twice(
    api: TestApi, make: Factory, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(reading, "_ENTITIES_PER_PIECE", 3)
    customer = await make.customer()
    ids = [await make.budget(customer_id=customer) for _ in range(count)]
    assert sorted(budget["id"] for budget in await listed(api, BUDGETS, "budgets")) == sorted(ids)


async def test_a_flag_that_is_none_is_refused(api: TestApi) -> None:
    assert (await send(api, "GET", f"{BUDGETS}?from_memory=maybe"))[0] == 400
