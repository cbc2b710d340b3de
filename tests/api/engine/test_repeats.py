"""The same request id again: the same answer and one hold, or a conflict."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from service.store.postgres import Connection
from tests.conftest import Clock
from tests.factories import Factory
from tests.gateway import VALUE, Gateway, decided, standing
from tests.waiting import until

CALL = {"request_id": "call", "model": "gpt-4o", "estimated_cost": 1, "estimated_input_tokens": 10}
CONFLICT = {"is_bifrost_error": False, "status_code": 409, "extra_fields": {}}


@pytest.fixture
async def budget(make: Factory, clock: Clock) -> str:
    key = await make.virtual_key(value=VALUE, allow_all_providers=True, max_parallel_requests=9)
    await make.rate_limit(virtual_key_id=key, anchored_at=clock.now)
    return await make.budget(virtual_key_id=key, anchored_at=clock.now)


async def held(redis: Redis) -> dict[Any, Any]:
    (key,) = await redis.keys("gov:*held")
    return await redis.hgetall(key)


async def test_the_same_call_again_has_the_same_answer_and_holds_once(
    gateway: Gateway, budget: str, redis: Redis, clock: Clock
) -> None:
    first = await gateway.authorize(**CALL)
    holds = await held(redis)
    assert first["request_id"] == "call"
    assert first["limits"][0]["limit"]["held"]
    await gateway.authorize(estimated_cost=2)
    clock.forward(seconds=5)
    again = await gateway.authorize(**CALL)
    # Windows are told of as of now.
    for answer in (first, again):
        for each in answer["limits"]:
            each["limit"].pop("retry_after", None)
    assert again == first
    assert standing(again, budget)["held"] == 1
    assert sum(int(amount) for amount in (await held(redis)).values()) == (
        sum(int(amount) for amount in holds.values()) + 2 * 10**9 + 2
    )


async def test_without_an_id_each_call_has_one_of_its_own(gateway: Gateway, budget: str) -> None:
    ids = {(await gateway.authorize(estimated_cost=1))["request_id"] for _ in range(3)}
    assert len(ids) == 3
    assert standing(await gateway.authorize(), budget)["held"] == 3


@pytest.mark.parametrize(
    "other",
    [{"model": "o1"}, {"provider": "openai"}, {"estimated_cost": 2}, {"max_output_tokens": 1}, {"mcp_tools": ["a-b"]}],
    ids=repr,
)
async def test_another_call_under_an_id_that_holds_is_a_conflict(
    gateway: Gateway, budget: str, redis: Redis, other: dict[str, Any]
) -> None:
    await gateway.authorize(**CALL)
    holds = await held(redis)
    status, answer = await gateway.send("authorize", {"virtual_key": VALUE, **CALL, **other})
    assert status == 409
    assert answer == CONFLICT | {"error": {"message": "This request_id holds another call", "path": "$.request_id"}}
    assert await held(redis) == holds


async def test_a_call_of_another_virtual_key_under_an_id_that_holds_is_a_conflict(
    gateway: Gateway, make: Factory
) -> None:
    customer = await make.customer()
    for value in (VALUE, "sk-bf-sibling"):
        await make.virtual_key(value=value, customer_id=customer, allow_all_providers=True)
    await gateway.authorize(**CALL)
    status, _ = await gateway.send("authorize", CALL | {"virtual_key": "sk-bf-sibling"})
    assert status == 409


@pytest.mark.parametrize("end", ["usage", "release"])
async def test_an_id_that_ended_is_refused_for_a_while(
    gateway: Gateway, budget: str, end: str, clock: Clock, redis: Redis
) -> None:
    await gateway.authorize(**CALL)
    await (gateway.report("call") if end == "usage" else gateway.release("call"))
    status, answer = await gateway.send("authorize", {"virtual_key": VALUE, **CALL})
    assert status == 409
    assert "settled, released or has expired already" in answer["error"]["message"]
    assert await redis.keys("gov:*held") == []


async def test_a_refused_call_may_be_asked_for_again(gateway: Gateway, budget: str, connection: Connection) -> None:
    refused = CALL | {"estimated_cost": 11}
    assert decided(await gateway.authorize(**refused)) == ("budget_exceeded", 402)
    await connection.execute("UPDATE budgets SET max_limit_nanousd = 11000000000")

    async def is_allowed() -> bool:
        return decided(await gateway.authorize(**refused)) == ("allow", 200)

    await until(is_allowed)


async def test_release_gives_back_once(gateway: Gateway, budget: str, redis: Redis, connection: Connection) -> None:
    await gateway.authorize(**CALL)
    assert await gateway.release("call")
    assert await redis.keys("gov:*held") == []
    assert not await gateway.release("call")
    assert not await gateway.release("never")
    answer = await gateway.authorize(estimated_cost=10)
    assert decided(answer) == ("allow", 200)
    assert await connection.fetchval("SELECT count(*) FROM usage_events") == 0


async def test_usage_of_a_released_call_is_booked(gateway: Gateway, budget: str) -> None:
    await gateway.authorize(**CALL)
    await gateway.release("call")
    assert (await gateway.report("call", cost=2))["status"] == "recorded"
    assert standing(await gateway.authorize(), budget)["used"] == 2


async def test_a_call_that_was_settled_holds_nothing_any_more(gateway: Gateway, budget: str, redis: Redis) -> None:
    await gateway.authorize(**CALL)
    await gateway.report("call", cost=0.5, input_tokens=3)
    assert await redis.keys("gov:*held") == []
    answer = await gateway.authorize()
    assert (standing(answer, budget)["used"], standing(answer, budget)["held"]) == (0.5, 0)
    assert not await gateway.release("call")


@pytest.mark.parametrize("ttl", [0.000001, 1.5, 86_400])
async def test_a_hold_lasts_as_long_as_its_call_says(gateway: Gateway, budget: str, ttl: float, clock: Clock) -> None:
    expires_at = datetime.fromisoformat((await gateway.authorize(ttl=ttl))["expires_at"])
    assert expires_at == clock.now + timedelta(seconds=ttl)
