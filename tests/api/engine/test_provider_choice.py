"""Which provider a call goes to when its caller leaves that open: by weight, past those without room."""

from collections import Counter
from typing import Any

from service.store.postgres import Connection
from tests.factories import Factory
from tests.gateway import VALUE, Gateway, decided, violated


async def make_providers(make: Factory, **weights: float | None) -> dict[str, int]:
    """A virtual key of `VALUE`, and its config of each provider."""
    key = await make.virtual_key(value=VALUE, name="ci-bot")
    return {
        provider: await make.provider_config(virtual_key_id=key, provider=provider, weight=weight)
        for provider, weight in weights.items()
    }


def providers_of(answer: Any) -> list[tuple[str, bool]]:
    """Names in order, and whether each is blocked."""
    return [(each["provider"], "blocked_by" in each) for each in answer["eligible_providers"]]


async def test_providers_are_told_of_with_weights_and_keys_the_chosen_one_first(
    gateway: Gateway, make: Factory
) -> None:
    configs = await make_providers(make, azure=None, openai=2.5)
    pinned = await make.provider_key(provider="azure", name="of azure")
    await make.pin(configs["azure"], pinned)
    answer = await gateway.authorize(model="gpt-4o")
    assert answer["provider"] == "openai"
    assert answer["eligible_providers"] == [
        {"provider": "openai", "weight": 2.5, "key_ids": ["*"]},
        {"provider": "azure", "weight": None, "key_ids": ["*"]},
    ]


async def test_pinned_keys_are_named(gateway: Gateway, make: Factory) -> None:
    key = await make.virtual_key(value=VALUE)
    config = await make.provider_config(virtual_key_id=key, allow_all_keys=False)
    ids = sorted([await make.provider_key(), await make.provider_key()])
    for each in ids:
        await make.pin(config, each)
    answer = await gateway.authorize(model="gpt-4o")
    assert sorted(answer["eligible_providers"][0]["key_ids"]) == ids


async def test_calls_are_spread_by_weight(gateway: Gateway, make: Factory) -> None:
    await make_providers(make, azure=1, openai=9, bedrock=0, vertex=None)
    drawn = Counter([(await gateway.authorize(model="m"))["provider"] for _ in range(120)])
    assert drawn.keys() == {"azure", "openai"}
    assert drawn["openai"] > 80  # 108 are expected; fewer than 81 comes once in 10^13 times


async def test_a_provider_without_room_is_passed_over_and_named(gateway: Gateway, make: Factory) -> None:
    configs = await make_providers(make, azure=1, openai=0, bedrock=None)
    await make.budget(id="of azure", provider_config_id=configs["azure"], max_limit_nanousd=10**9)
    await make.rate_limit(id="of openai", provider_config_id=configs["openai"], token_max_limit=5)
    call = {"model": "m", "estimated_cost": 1, "estimated_input_tokens": 5}
    for provider, blocked in (("azure", 0), ("openai", 1), ("bedrock", 2), ("bedrock", 2)):
        answer = await gateway.authorize(**call)
        assert (decided(answer), answer["provider"]) == (("allow", 200), provider)
        assert providers_of(answer)[0] == (provider, False)
        assert sum(is_blocked for _, is_blocked in providers_of(answer)) == blocked
    by = {each["provider"]: each.get("blocked_by") for each in answer["eligible_providers"]}
    assert by == {
        "azure": {"id": "of azure", "kind": "budget", "level": "provider_config"},
        "openai": {"id": "of openai", "kind": "tokens", "level": "provider_config"},
        "bedrock": None,
    }


async def test_when_no_provider_has_room_the_first_drawn_says_why(gateway: Gateway, make: Factory) -> None:
    configs = await make_providers(make, azure=1, openai=0)
    for dollars, config in enumerate(configs.values(), start=1):
        await make.budget(provider_config_id=config, max_limit_nanousd=dollars * 10**9)
    answer = await gateway.authorize(model="m", estimated_cost=3)
    assert decided(answer) == ("budget_exceeded", 402)
    assert answer["message"] == "vk provider config azure budget exceeded: 0.0000 + 3.0000 > 1.0000 dollars"
    assert violated(answer) == [("provider_config", "budget")]
    assert providers_of(answer) == [("azure", True), ("openai", True)]


async def test_what_holds_for_every_provider_refuses_for_every_provider(gateway: Gateway, make: Factory) -> None:
    key = await make.virtual_key(value=VALUE)
    await make.budget(virtual_key_id=key, max_limit_nanousd=10**9)
    for provider, weight in (("azure", 1), ("openai", 0)):
        await make.provider_config(virtual_key_id=key, provider=provider, weight=weight)
    answer = await gateway.authorize(model="m", estimated_cost=2)
    assert (decided(answer), violated(answer)) == (("budget_exceeded", 402), [("virtual_key", "budget")])
    assert [each["blocked_by"]["level"] for each in answer["eligible_providers"]] == ["virtual_key"] * 2


async def test_a_limit_of_the_deployment_on_one_provider_leaves_the_others(gateway: Gateway, make: Factory) -> None:
    await make_providers(make, azure=1, openai=0)
    whole = await make.model_config(model_name="*", provider="azure")
    await make.budget(id="of all azure", model_config_id=whole, max_limit_nanousd=10**9)
    answer = await gateway.authorize(model="m", estimated_cost=2)
    assert (decided(answer), answer["provider"]) == (("allow", 200), "openai")
    assert answer["eligible_providers"][1]["blocked_by"]["id"] == "of all azure"


async def test_a_limit_of_the_virtual_key_on_one_provider_and_model_leaves_the_others(
    gateway: Gateway, make: Factory
) -> None:
    key = await make.virtual_key(value=VALUE)
    for provider, weight in (("azure", 1), ("openai", 0)):
        await make.provider_config(virtual_key_id=key, provider=provider, weight=weight)
    config = await make.model_config(virtual_key_id=key, model_name="m", provider="azure")
    await make.rate_limit(model_config_id=config, metric="tokens", request_max_limit=None, request_reset_duration=None)
    answer = await gateway.authorize(model="m", estimated_input_tokens=1001)
    assert (decided(answer), answer["provider"]) == (("allow", 200), "openai")
    assert (await gateway.authorize(model="other", estimated_input_tokens=1001))["provider"] == "azure"


async def test_another_provider_is_passed_over_for_its_own_price_only(
    gateway: Gateway, make: Factory, connection: Connection
) -> None:
    configs = await make_providers(make, dear=1, cheap=0)
    for config in configs.values():
        await make.budget(provider_config_id=config, max_limit_nanousd=5 * 10**9)
    await add_prices(connection, dear=10, cheap=1)
    answer = await gateway.authorize(model="m", estimated_input_tokens=1_000_000)
    assert (decided(answer), answer["provider"]) == (("allow", 200), "cheap")


async def test_a_repeat_goes_to_the_provider_it_was_told_first(gateway: Gateway, make: Factory) -> None:
    await make_providers(make, azure=1, openai=1)
    first = await gateway.authorize(request_id="call", model="m")
    for _ in range(20):
        again = await gateway.authorize(request_id="call", model="m")
        assert (again["allowed"], again["provider"]) == (True, first["provider"])
        assert again["eligible_providers"][0]["provider"] == first["provider"]


async def test_what_is_shared_and_too_small_for_a_dear_provider_may_do_for_a_cheap_one(
    gateway: Gateway, make: Factory, connection: Connection
) -> None:
    await make_providers(make, dear=1, cheap=0)
    (key,) = [row["id"] for row in await connection.fetch("SELECT id FROM virtual_keys")]
    await make.budget(virtual_key_id=key, max_limit_nanousd=5 * 10**9)
    await add_prices(connection, dear=10, cheap=1)
    answer = await gateway.authorize(model="m", estimated_input_tokens=1_000_000)
    assert (decided(answer), answer["provider"]) == (("allow", 200), "cheap")
    assert [each.get("blocked_by", {}).get("level") for each in answer["eligible_providers"]] == [None, "virtual_key"]


async def add_prices(connection: Connection, **dollars: int) -> None:
    """Of a million input tokens of the model m, by provider."""
    for provider, price in dollars.items():
        await connection.execute(
            "INSERT INTO model_prices (provider, model, input_nanousd) VALUES ($1, 'm', $2)", provider, price * 10**9
        )
