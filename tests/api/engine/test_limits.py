"""Limits: what refuses, which decision that is, and what is told of every limit on the path."""

from datetime import timedelta
from typing import Any

from service.store.postgres import Connection
from tests.conftest import Clock
from tests.factories import Factory
from tests.gateway import VALUE, Gateway, decided, standing, violated
from tests.waiting import until


async def open_key(make: Factory, **columns: Any) -> str:
    """A virtual key of `VALUE` that may call anything, named ci-bot."""
    return await make.virtual_key(value=VALUE, name="ci-bot", allow_all_providers=True, **columns)


async def test_a_budget_is_told_of_exactly(gateway: Gateway, make: Factory, clock: Clock) -> None:
    key = await open_key(make)
    budget = await make.budget(virtual_key_id=key, max_limit_nanousd=1_500_000_000, anchored_at=clock.now)
    told = {
        "id": budget,
        "kind": "budget",
        "max": 1.5,
        "used": 0,
        "held": 1.000000001,
        "remaining": 0.499999999,
        "requested": 1.000000001,
        "window_start": clock.now.isoformat().replace("+00:00", "Z"),
        "resets_at": (clock.now + timedelta(days=1)).isoformat().replace("+00:00", "Z"),
        "retry_after": 86400,
    }
    entity = {"type": "virtual_key", "id": key, "name": "ci-bot"}
    answer = await gateway.authorize(estimated_cost=1.000000001)
    assert decided(answer) == ("allow", 200)
    assert answer["limits"] == [{"level": "virtual_key", "entity": entity, "limit": told}]
    assert answer["violations"] == []

    answer = await gateway.authorize(estimated_cost=0.5)
    assert decided(answer) == ("budget_exceeded", 402)
    assert answer["message"] == "vk ci-bot budget exceeded: 1.000000001 + 0.5000 > 1.5000 dollars"
    told["requested"] = 0.5
    assert answer["violations"] == answer["limits"] == [{"level": "virtual_key", "entity": entity, "limit": told}]


async def test_the_last_nano_dollar_is_given_and_not_one_more(gateway: Gateway, make: Factory) -> None:
    budget = await make.budget(virtual_key_id=await open_key(make), max_limit_nanousd=3)
    for held in (1, 2, 3):
        answer = await gateway.authorize(estimated_cost=1e-9)
        assert (decided(answer), standing(answer, budget)["held"]) == (("allow", 200), held / 10**9)
    for call in ({"estimated_cost": 1e-9}, {"estimated_cost": 0}, {}):
        answer = await gateway.authorize(**call)
        assert decided(answer) == ("budget_exceeded", 402)
    assert answer["message"] == "vk ci-bot budget exceeded: 0.000000003 >= 0.000000003 dollars"


async def test_a_call_without_an_estimate_needs_some_room(gateway: Gateway, make: Factory) -> None:
    budget = await make.budget(virtual_key_id=await open_key(make), max_limit_nanousd=10**9)
    for _ in range(3):
        answer = await gateway.authorize()
        assert decided(answer) == ("allow", 200)
        assert (standing(answer, budget)["held"], "requested" in standing(answer, budget)) == (0, False)
    assert decided(await gateway.authorize(estimated_cost=1)) == ("allow", 200)
    assert decided(await gateway.authorize()) == ("budget_exceeded", 402)


async def test_tokens_are_limited_by_both_estimates(gateway: Gateway, make: Factory) -> None:
    key = await open_key(make)
    limit = await make.rate_limit(virtual_key_id=key, request_max_limit=None, request_reset_duration=None)
    answer = await gateway.authorize(estimated_input_tokens=400, max_output_tokens=200)
    assert (standing(answer, limit, "tokens")["held"], standing(answer, limit, "tokens")["remaining"]) == (600, 400)
    answer = await gateway.authorize(max_output_tokens=401)
    assert decided(answer) == ("token_limited", 429)
    assert answer["message"] == (
        "rate limit violated for vk ci-bot: [token limit exceeded (600/1000, 401 more asked for)]"
    )
    assert violated(answer) == [("virtual_key", "tokens")]
    assert decided(await gateway.authorize(estimated_input_tokens=400)) == ("allow", 200)


async def test_requests_are_limited_by_one_each(gateway: Gateway, make: Factory) -> None:
    await make.rate_limit(virtual_key_id=await open_key(make), request_max_limit=2, request_reset_duration="1m")
    for _ in range(2):
        assert decided(await gateway.authorize()) == ("allow", 200)
    answer = await gateway.authorize()
    assert decided(answer) == ("request_limited", 429)
    assert answer["message"] == "rate limit violated for vk ci-bot: [request limit exceeded (2/2, 1 more asked for)]"
    assert violated(answer) == [("virtual_key", "requests")]


async def test_both_sides_of_a_rate_limit_at_once_are_a_decision_of_their_own(gateway: Gateway, make: Factory) -> None:
    limits = {"token_max_limit": 5, "request_max_limit": 1, "request_reset_duration": "1h"}
    await make.rate_limit(virtual_key_id=await open_key(make), **limits)
    assert decided(await gateway.authorize(estimated_input_tokens=5)) == ("allow", 200)
    answer = await gateway.authorize()
    assert decided(answer) == ("rate_limited", 429)
    assert answer["message"] == (
        "rate limit violated for vk ci-bot: "
        "[token limit exceeded (5/5), request limit exceeded (1/1, 1 more asked for)]"
    )
    assert violated(answer) == [("virtual_key", "tokens"), ("virtual_key", "requests")]


async def test_parallel_calls_are_limited_until_one_ends(gateway: Gateway, make: Factory) -> None:
    key = await open_key(make, max_parallel_requests=2)
    for number in range(2):
        assert decided(await gateway.authorize(request_id=f"call-{number}")) == ("allow", 200)
    answer = await gateway.authorize()
    assert decided(answer) == ("parallel_limited", 429)
    assert answer["message"] == "vk ci-bot has 2 of 2 parallel calls under way"
    shown = standing(answer, key, "parallel")
    expected = {"max": 2, "used": 0, "held": 2, "remaining": 0, "requested": 1}
    assert shown == expected | {"id": key, "kind": "parallel"}
    await gateway.report("call-0")
    assert decided(await gateway.authorize()) == ("allow", 200)
    assert await gateway.release("call-1")
    assert decided(await gateway.authorize()) == ("allow", 200)
    assert decided(await gateway.authorize()) == ("parallel_limited", 429)


async def test_rate_limits_go_before_parallel_calls_and_these_before_budgets_and_all_are_listed(
    gateway: Gateway, make: Factory, connection: Connection
) -> None:
    customer = await make.customer(name="acme", max_parallel_requests=1)
    key = await open_key(make, customer_id=customer)
    for owner in ({"virtual_key_id": key}, {"customer_id": customer}):
        await make.budget(max_limit_nanousd=1, **owner)
    await make.rate_limit(customer_id=customer, token_max_limit=1, request_max_limit=1000)
    assert decided(await gateway.authorize(estimated_input_tokens=1, estimated_cost=1e-9)) == ("allow", 200)
    everything = [
        ("virtual_key", "budget"),
        ("customer", "tokens"),
        ("customer", "budget"),
        ("customer", "parallel"),
    ]
    answer = await gateway.authorize()
    assert (decided(answer), violated(answer)) == (("token_limited", 429), everything)
    assert answer["message"].startswith("rate limit violated for customer acme: ")
    await connection.execute("UPDATE rate_limits SET token_max_limit = 5")
    everything.remove(("customer", "tokens"))
    await until(lambda: refused_as(gateway, "parallel_limited", everything))
    await connection.execute("UPDATE customers SET max_parallel_requests = NULL")
    everything.remove(("customer", "parallel"))
    await until(lambda: refused_as(gateway, "budget_exceeded", everything))
    answer = await gateway.authorize()
    assert answer["message"] == "vk ci-bot budget exceeded: 0.000000001 >= 0.000000001 dollars"


async def refused_as(gateway: Gateway, decision: str, limits: list[tuple[str, str]]) -> bool:
    answer = await gateway.authorize()
    return (answer["decision"], violated(answer)) == (decision, limits)


async def test_each_level_refuses_by_its_name(gateway: Gateway, make: Factory) -> None:
    customer = await make.customer(name="acme")
    team = await make.team(name="red", customer_id=customer)
    key = await make.virtual_key(value=VALUE, name="ci-bot", team_id=team)
    config = await make.provider_config(virtual_key_id=key, provider="openai")
    of_key = await make.model_config(virtual_key_id=key, model_name="gpt-4o")
    of_all = await make.model_config(model_name="gpt-4o", provider="openai")
    of_provider = await make.model_config(model_name="*", provider="openai")
    owners: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("model", "model gpt-4o", of_all, {"model_config_id": of_all}),
        ("provider", "provider openai", of_provider, {"model_config_id": of_provider}),
        ("virtual_key", "vk ci-bot", key, {"virtual_key_id": key}),
        ("provider_config", "vk provider config openai", str(config), {"provider_config_id": config}),
        ("model_config", "vk model config ci-bot: gpt-4o", of_key, {"model_config_id": of_key}),
        ("team", "team red", team, {"team_id": team}),
        ("customer", "customer acme", customer, {"customer_id": customer}),
    )
    for dollars, (_, _, _, owner) in enumerate(reversed(owners), start=1):
        await make.budget(id=f"of {dollars}", max_limit_nanousd=dollars * 10**9, **owner)
    call = {"provider": "openai", "model": "gpt-4o"}
    answer = await gateway.authorize(**call)
    assert [each["level"] for each in answer["limits"]] == [level for level, *_ in owners]
    for dollars in range(1, len(owners) + 1):
        refusing = owners[-dollars:]
        answer = await gateway.authorize(**call, estimated_cost=dollars + 0.5)
        assert decided(answer) == ("budget_exceeded", 402)
        assert violated(answer) == [(level, "budget") for level, *_ in refusing]
        assert [each["entity"]["id"] for each in answer["violations"]] == [entity for _, _, entity, _ in refusing]
        assert answer["message"].startswith(f"{refusing[0][1]} budget exceeded: ")
    answer = await gateway.authorize(provider="openai", model="o1")
    levels = ["provider", "virtual_key", "provider_config", "team", "customer"]
    assert [each["level"] for each in answer["limits"]] == levels
