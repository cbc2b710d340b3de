"""Limits of the whole deployment, per model and per provider: held by all tenants together."""

from typing import Any

from redis.asyncio import Redis

from tests.factories import Factory
from tests.gateway import VALUE, Gateway, decided, standing, violated

CALL = {"provider": "openai", "model": "gpt-4o", "estimated_cost": 1}


async def make_limits(make: Factory, **dollars: int) -> None:
    """Budgets by the ids `model`, `provider` and `both`."""
    names = {"model": ("gpt-4o", None), "provider": ("*", "openai"), "both": ("gpt-4o", "openai")}
    for name, most in dollars.items():
        model, provider = names[name]
        config = await make.model_config(model_name=model, provider=provider)
        await make.budget(id=name, model_config_id=config, max_limit_nanousd=most * 10**9)


async def held_of_all(redis: Redis) -> list[Any]:
    return list((await redis.hgetall("gov:{global}:held")).values())


async def test_they_count_what_every_tenant_uses(gateway: Gateway, make: Factory) -> None:
    await make_limits(make, model=3, provider=4, both=5)
    for tenant in range(3):
        await make.virtual_key(value=f"{VALUE}-{tenant}", allow_all_providers=True)
        answer = await gateway.authorize(virtual_key=f"{VALUE}-{tenant}", **CALL)
        assert decided(answer) == ("allow", 200)
    assert [standing(answer, each)["held"] for each in ("model", "provider", "both")] == [3, 3, 3]
    answer = await gateway.authorize(virtual_key=f"{VALUE}-0", **CALL)
    assert (decided(answer), violated(answer)) == (("budget_exceeded", 402), [("model", "budget")])
    other_model = CALL | {"model": "o1"}
    assert decided(await gateway.authorize(virtual_key=f"{VALUE}-0", **other_model)) == ("allow", 200)
    answer = await gateway.authorize(virtual_key=f"{VALUE}-0", **other_model)
    assert (decided(answer), violated(answer)) == (("budget_exceeded", 402), [("provider", "budget")])
    other_provider = CALL | {"provider": "azure"}
    answer = await gateway.authorize(virtual_key=f"{VALUE}-0", **other_provider)
    assert violated(answer) == [("model", "budget")]
    assert decided(await gateway.authorize(virtual_key=f"{VALUE}-0", provider="azure", model="o1")) == ("allow", 200)


async def test_what_is_held_is_given_back_when_the_tenant_refuses(
    gateway: Gateway, make: Factory, redis: Redis
) -> None:
    await make_limits(make, model=10)
    key = await make.virtual_key(value=VALUE, allow_all_providers=True)
    await make.budget(id="own", virtual_key_id=key, max_limit_nanousd=10**9)
    for _ in range(5):
        answer = await gateway.authorize(request_id="refused", **CALL | {"estimated_cost": 2})
        assert (decided(answer), violated(answer)) == (("budget_exceeded", 402), [("virtual_key", "budget")])
        assert (standing(answer, "model")["held"], await held_of_all(redis)) == (0, [])


async def test_the_tenant_holds_nothing_when_the_deployment_refuses_and_all_limits_are_told_of(
    gateway: Gateway, make: Factory, redis: Redis
) -> None:
    await make_limits(make, model=1)
    key = await make.virtual_key(value=VALUE, allow_all_providers=True)
    await make.budget(id="own", virtual_key_id=key, max_limit_nanousd=10**9)
    answer = await gateway.authorize(**CALL | {"estimated_cost": 2})
    assert violated(answer) == [("model", "budget"), ("virtual_key", "budget")]
    assert await redis.keys("gov:*held") == []


async def test_usage_is_charged_to_both_and_release_gives_back_both(
    gateway: Gateway, make: Factory, redis: Redis
) -> None:
    await make_limits(make, model=10)
    key = await make.virtual_key(value=VALUE, allow_all_providers=True)
    await make.budget(id="own", virtual_key_id=key)
    await gateway.authorize(request_id="used", **CALL)
    await gateway.authorize(request_id="released", **CALL)
    await gateway.report("used", cost=2.5)
    assert await gateway.release("released")
    answer = await gateway.authorize(request_id="asked", **CALL)
    for limit in ("own", "model"):
        assert (standing(answer, limit)["used"], standing(answer, limit)["held"]) == (2.5, 1)
    assert await held_of_all(redis) == [b"1000000000"]


async def test_a_repeat_holds_once_in_both(gateway: Gateway, make: Factory, redis: Redis) -> None:
    await make_limits(make, model=10)
    await make.virtual_key(value=VALUE, allow_all_providers=True)
    first = await gateway.authorize(request_id="call", **CALL)
    assert await gateway.authorize(request_id="call", **CALL) == first
    assert await held_of_all(redis) == [b"1000000000"]


async def test_an_id_that_was_refused_and_given_back_may_be_used_again(
    gateway: Gateway, make: Factory, redis: Redis
) -> None:
    await make_limits(make, model=10)
    key = await make.virtual_key(value=VALUE, allow_all_providers=True)
    await make.budget(virtual_key_id=key, max_limit_nanousd=10**9)
    assert not (await gateway.authorize(request_id="call", **CALL | {"estimated_cost": 2}))["allowed"]
    assert decided(await gateway.authorize(request_id="call", **CALL)) == ("allow", 200)
    assert await held_of_all(redis) == [b"1000000000"]
