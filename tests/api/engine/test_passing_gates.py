"""Calls that may be made: by which names of keys, models, providers and tools."""

import pytest

from service.store.postgres import Connection
from tests.conftest import Clock
from tests.factories import Factory
from tests.gateway import VALUE, Gateway, decided

OTHER = "sk-bf-of-another"


@pytest.mark.parametrize(
    ("allowed", "model"),
    [(["*"], "anything"), (["GPT-4o"], "gpt-4O"), (["regex:GPT-.*"], "gpt-4o"), (["a", "regex:b+"], "bb")],
    ids=repr,
)
async def test_models_are_allowed_in_any_case_and_by_pattern(
    gateway: Gateway, make: Factory, allowed: list[str], model: str
) -> None:
    await make.provider_config(virtual_key_id=await make.virtual_key(value=VALUE), allowed_models=allowed)
    for call in ({"provider": "openai", "model": model}, {"model": model}, {"model": f"openai/{model}"}):
        answer = await gateway.authorize(**call)
        assert decided(answer) == ("allow", 200)
        assert (answer["provider"], answer["model"]) == ("openai", model)


async def test_a_prefix_that_is_no_provider_of_the_virtual_key_is_a_part_of_the_model(
    gateway: Gateway, make: Factory
) -> None:
    key = await make.virtual_key(value=VALUE)
    await make.provider_config(virtual_key_id=key, allowed_models=["meta/llama"])
    answer = await gateway.authorize(model="meta/llama")
    assert (answer["provider"], answer["model"]) == ("openai", "meta/llama")


async def test_a_virtual_key_for_all_providers_may_use_any(gateway: Gateway, make: Factory) -> None:
    await make.virtual_key(value=VALUE, allow_all_providers=True)
    answer = await gateway.authorize(provider="whoever", model="whatever")
    assert decided(answer) == ("allow", 200)
    assert (answer["provider"], answer["model"], answer["eligible_providers"]) == ("whoever", "whatever", [])
    assert decided(await gateway.authorize()) == ("allow", 200)


async def test_what_is_said_of_a_provider_holds_though_all_are_allowed(gateway: Gateway, make: Factory) -> None:
    key = await make.virtual_key(value=VALUE, allow_all_providers=True)
    await make.provider_config(virtual_key_id=key, provider="openai", blacklisted_models=["o1"])
    assert decided(await gateway.authorize(provider="openai", model="o1")) == ("model_blocked", 403)
    assert decided(await gateway.authorize(provider="azure", model="o1")) == ("allow", 200)


# Headers, and whose value is taken.
PRESENTED: tuple[tuple[dict[str, str], str | None], ...] = (
    ({"x-bf-vk": VALUE, "Authorization": f"Bearer {OTHER}"}, VALUE),
    ({"X-BF-VK": f"  {VALUE} "}, VALUE),
    ({"authorization": f"Bearer {VALUE}", "x-api-key": OTHER}, VALUE),
    ({"Authorization": f"bearer {VALUE}"}, VALUE),
    ({"Authorization": VALUE}, VALUE),
    ({"Authorization": "Bearer sk-of-openai", "x-api-key": VALUE, "x-goog-api-key": OTHER}, VALUE),
    ({"x-goog-api-key": VALUE, "api-key": OTHER}, VALUE),
    ({"api-key": VALUE}, VALUE),
    ({"API-Key": VALUE.upper()}, None),
    ({"x-api-key": "sk-bf-" + "x" * 250, "api-key": VALUE}, VALUE),
)


async def test_the_virtual_key_is_found_in_the_headers_in_order(gateway: Gateway, make: Factory) -> None:
    ids = {value: await make.virtual_key(value=value, allow_all_providers=True) for value in (VALUE, OTHER)}
    for headers, presented in PRESENTED:
        answer = await gateway.authorize(virtual_key=None, headers=headers)
        assert answer.get("virtual_key_id") == ids.get(presented or ""), headers
        assert answer["allowed"] == (presented is not None), headers


async def test_the_value_in_the_body_goes_before_the_headers(gateway: Gateway, make: Factory) -> None:
    await make.virtual_key(value=OTHER, allow_all_providers=True)
    key = await make.virtual_key(value=VALUE, allow_all_providers=True)
    assert (await gateway.authorize(headers={"x-bf-vk": OTHER}))["virtual_key_id"] == key


async def test_a_value_that_was_rotated_works_until_its_time_is_over(
    gateway: Gateway, make: Factory, connection: Connection, clock: Clock
) -> None:
    await make.virtual_key(value=OTHER, allow_all_providers=True)
    await connection.execute(
        "UPDATE virtual_keys SET previous_value_hash = value_hash, value_hash = decode(repeat('00', 32), 'hex'), "
        "previous_value_expires_at = $1",
        clock.now,
    )
    assert decided(await gateway.authorize(virtual_key=OTHER)) == ("access_not_found", 401)
    clock.forward(microseconds=-1)
    assert decided(await gateway.authorize(virtual_key=OTHER)) == ("allow", 200)
    clock.forward(microseconds=1)
    assert decided(await gateway.authorize(virtual_key=OTHER)) == ("access_not_found", 401)


async def test_who_the_call_is_of_is_answered(gateway: Gateway, make: Factory) -> None:
    customer = await make.customer()
    team = await make.team(customer_id=customer)
    key = await make.virtual_key(value=VALUE, team_id=team, allow_all_providers=True)
    answer = await gateway.authorize()
    assert (answer["virtual_key_id"], answer["team_id"], answer["customer_id"]) == (key, team, customer)
