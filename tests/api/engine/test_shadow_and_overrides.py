"""Limits in shadow count and refuse nothing; an override raises a budget for some windows."""

from datetime import timedelta

from service.store.postgres import Connection
from tests.api.calls import VIRTUAL_KEYS, send
from tests.conftest import Clock, TestApi
from tests.factories import Factory
from tests.gateway import VALUE, Gateway, decided, standing, violated
from tests.waiting import until


async def test_a_limit_in_shadow_counts_says_what_it_would_refuse_and_refuses_nothing(
    gateway: Gateway, make: Factory
) -> None:
    key = await make.virtual_key(value=VALUE, allow_all_providers=True)
    await make.budget(id="b", virtual_key_id=key, max_limit_nanousd=10**9, shadow=True)
    await make.rate_limit(id="r", virtual_key_id=key, request_max_limit=1, request_reset_duration="1h", shadow=True)
    for number, would_refuse in enumerate((False, True, True)):
        answer = await gateway.authorize(request_id=f"{number}", estimated_cost=0.75)
        assert (decided(answer), answer["violations"]) == (("allow", 200), [])
        for limit, kind in (("b", "budget"), ("r", "requests")):
            shown = standing(answer, limit, kind)
            assert (shown["shadow"], shown["would_refuse"]) == (True, would_refuse), kind
        assert standing(answer, "b")["held"] == 0.75 * (number + 1)
        assert standing(answer, "b")["remaining"] == max(0, 1 - 0.75 * (number + 1))
    await gateway.report("0", cost=3)
    answer = await gateway.authorize(estimated_cost=0.75)
    assert (standing(answer, "b")["used"], standing(answer, "b")["would_refuse"]) == (3, True)


async def test_a_limit_in_shadow_is_no_violation_beside_one_that_refuses(gateway: Gateway, make: Factory) -> None:
    key = await make.virtual_key(value=VALUE, allow_all_providers=True)
    await make.rate_limit(virtual_key_id=key, token_max_limit=1, shadow=True)
    await make.budget(virtual_key_id=key, max_limit_nanousd=1)
    answer = await gateway.authorize(estimated_cost=1, estimated_input_tokens=9)
    assert (decided(answer), violated(answer)) == (("budget_exceeded", 402), [("virtual_key", "budget")])
    would = [each["limit"].get("would_refuse") for each in answer["limits"]]
    assert would == [True, False, None]


async def test_a_provider_is_not_passed_over_for_a_limit_in_shadow(gateway: Gateway, make: Factory) -> None:
    key = await make.virtual_key(value=VALUE)
    for provider, weight in (("azure", 1), ("openai", 0)):
        config = await make.provider_config(virtual_key_id=key, provider=provider, weight=weight)
        await make.budget(provider_config_id=config, max_limit_nanousd=1, shadow=True)
    answer = await gateway.authorize(model="m", estimated_cost=1)
    assert answer["provider"] == "azure"
    assert all("blocked_by" not in each for each in answer["eligible_providers"])


async def test_an_override_raises_the_budget_for_its_windows_and_ends_with_them(
    gateway: Gateway, api: TestApi, make: Factory, clock: Clock
) -> None:
    key = await make.virtual_key(value=VALUE, allow_all_providers=True)
    await make.budget(id="b", virtual_key_id=key, max_limit_nanousd=10**9, anchored_at=clock.now)
    assert decided(await gateway.authorize(estimated_cost=1)) == ("allow", 200)
    assert decided(await gateway.authorize(estimated_cost=1)) == ("budget_exceeded", 402)
    body = {"amount": 2, "mode": "cycles", "cycles": 2}
    status, answer = await send(api, "PUT", f"{VIRTUAL_KEYS}/{key}/budgets/b/override", body)
    assert status == 200, answer
    await until(lambda: is_limited_to(gateway, 3))
    for days, most in ((0, 3), (1, 3), (2, 1)):
        clock.now += timedelta(days=bool(days))
        room = most - (1 if days == 0 else 0)
        assert decided(await gateway.authorize(estimated_cost=room)) == ("allow", 200), days
        answer = await gateway.authorize(estimated_cost=1e-9)
        assert decided(answer) == ("budget_exceeded", 402), days
        assert standing(answer, "b")["max"] == most


async def test_an_override_for_ever_lasts_until_it_is_taken_back(
    gateway: Gateway, api: TestApi, make: Factory, clock: Clock
) -> None:
    key = await make.virtual_key(value=VALUE, allow_all_providers=True)
    await make.budget(id="b", virtual_key_id=key, max_limit_nanousd=10**9)
    path = f"{VIRTUAL_KEYS}/{key}/budgets/b/override"
    status, _ = await send(api, "PUT", path, {"amount": 2, "mode": "forever"})
    assert status == 200
    await until(lambda: is_limited_to(gateway, 3))
    clock.forward(days=400)
    assert await is_limited_to(gateway, 3)
    status, _ = await send(api, "DELETE", path)
    assert status == 200
    await until(lambda: is_limited_to(gateway, 1))


async def is_limited_to(gateway: Gateway, dollars: float) -> bool:
    return bool(standing(await gateway.authorize(estimated_cost=100), "b")["max"] == dollars)


async def test_an_edited_limit_holds_at_once_for_what_is_held_and_used_already(
    gateway: Gateway, make: Factory, connection: Connection
) -> None:
    key = await make.virtual_key(value=VALUE, allow_all_providers=True)
    await make.budget(id="b", virtual_key_id=key, max_limit_nanousd=5 * 10**9)
    await gateway.authorize(request_id="call", estimated_cost=3)
    await connection.execute("UPDATE budgets SET max_limit_nanousd = 2000000000")
    await until(lambda: is_limited_to(gateway, 2))
    answer = await gateway.authorize()
    shown = standing(answer, "b")
    assert (decided(answer), shown["held"], shown["remaining"]) == (("budget_exceeded", 402), 3, 0)
    assert answer["message"].endswith("budget exceeded: 3.0000 >= 2.0000 dollars")
    await gateway.report("call", cost=3)
    await connection.execute("UPDATE budgets SET max_limit_nanousd = 4000000000")
    await until(lambda: is_limited_to(gateway, 4))
    assert decided(await gateway.authorize(estimated_cost=1)) == ("allow", 200)
    assert decided(await gateway.authorize(estimated_cost=1e-9)) == ("budget_exceeded", 402)
