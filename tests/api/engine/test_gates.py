"""What a call must pass before its limits: each refusal by its name, status and message, and nothing is held."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from service.store.postgres import Connection
from tests.conftest import Clock
from tests.factories import Factory
from tests.gateway import VALUE, Gateway, decided
from tests.waiting import until


@pytest.fixture(autouse=True)
async def nothing_is_held(redis: Redis) -> AsyncIterator[None]:
    """A call that is refused at a gate never comes to the counters."""
    yield
    assert await redis.keys("gov:*hold*") == []


async def refused(gateway: Gateway, **call: Any) -> tuple[str, int, str]:
    answer = await gateway.authorize(**call)
    assert (answer["violations"], answer["limits"], answer["eligible_providers"]) == ([], [], [])
    return *decided(answer), answer["message"]


async def test_a_call_without_a_virtual_key(gateway: Gateway) -> None:
    expected = ("virtual_key_required", 401, "a virtual key is required")
    assert await refused(gateway, virtual_key=None) == expected
    assert await refused(gateway, virtual_key=None, headers={"Authorization": "Bearer sk-of-someone-else"}) == expected


async def test_a_virtual_key_nobody_has(gateway: Gateway, make: Factory) -> None:
    await make.virtual_key()
    expected = ("access_not_found", 401, "virtual key not found")
    assert await refused(gateway) == expected
    assert await refused(gateway, virtual_key="x" * 255) == expected
    assert await refused(gateway, virtual_key="\x00\u202e ") == expected


async def test_a_virtual_key_that_was_deleted(gateway: Gateway, make: Factory, connection: Connection) -> None:
    await make.virtual_key(value=VALUE)
    assert (await gateway.authorize())["decision"] == "provider_blocked"
    await connection.execute("DELETE FROM virtual_keys")

    async def is_gone() -> bool:
        return await refused(gateway) == ("access_not_found", 401, "virtual key not found")

    await until(is_gone)


async def test_a_virtual_key_that_is_inactive(gateway: Gateway, make: Factory) -> None:
    key = await make.virtual_key(value=VALUE, name="ci-bot", is_active=False)
    assert await refused(gateway) == ("access_blocked", 403, "virtual key ci-bot is inactive")
    assert (await gateway.authorize())["virtual_key_id"] == key


async def test_a_virtual_key_expires_at_its_instant(gateway: Gateway, make: Factory, clock: Clock) -> None:
    await make.virtual_key(value=VALUE, name="ci-bot", expires_at=clock())
    expected = ("access_blocked", 403, "virtual key ci-bot is expired")
    assert await refused(gateway) == expected
    clock.forward(microseconds=-1)
    assert (await gateway.authorize())["decision"] == "provider_blocked"


async def test_a_virtual_key_that_may_use_no_provider(gateway: Gateway, make: Factory) -> None:
    await make.virtual_key(value=VALUE, name="ci-bot")
    assert await refused(gateway) == ("provider_blocked", 403, "virtual key ci-bot may use no provider")
    expected = ("provider_blocked", 403, "provider openai is not allowed for virtual key ci-bot")
    assert await refused(gateway, provider="openai", model="gpt-4o") == expected


async def test_a_provider_the_virtual_key_may_not_use(gateway: Gateway, make: Factory) -> None:
    await make.provider_config(virtual_key_id=await make.virtual_key(value=VALUE, name="ci-bot"))
    expected = ("provider_blocked", 403, "provider anthropic is not allowed for virtual key ci-bot")
    assert await refused(gateway, provider="anthropic", model="claude") == expected


async def test_a_provider_of_which_the_virtual_key_may_use_no_key(gateway: Gateway, make: Factory) -> None:
    key = await make.virtual_key(value=VALUE, name="ci-bot")
    await make.provider_config(virtual_key_id=key, allow_all_keys=False)
    expected = ("provider_blocked", 403, "virtual key ci-bot may use no key of provider openai")
    assert await refused(gateway, provider="openai", model="gpt-4o") == expected
    assert await refused(gateway, model="gpt-4o") == expected


# The lists, what is asked for, and the model the message names.
BLOCKED: tuple[tuple[list[str], list[str], str], ...] = (
    ([], [], "gpt-4o"),
    (["gpt-4o"], [], "gpt-4o-mini"),
    (["*"], ["gpt-4o"], "gpt-4o"),
    (["gpt-4o"], ["GPT-4O"], "gpt-4o"),
    (["regex:gpt-.*"], [], "not-gpt-4o"),
    (["regex:gpt-4"], [], "gpt-4o"),
    (["*"], ["regex:.*-preview"], "o1-preview"),
    (["regex:(", "other"], [], "("),
)


@pytest.mark.parametrize(("allowed", "denied", "model"), BLOCKED, ids=repr)
async def test_a_model_the_virtual_key_may_not_use(
    gateway: Gateway, make: Factory, allowed: list[str], denied: list[str], model: str
) -> None:
    key = await make.virtual_key(value=VALUE, name="ci-bot")
    await make.provider_config(virtual_key_id=key, allowed_models=allowed, blacklisted_models=denied)
    expected = ("model_blocked", 403, f"model {model} is not allowed for virtual key ci-bot")
    assert await refused(gateway, provider="openai", model=model) == expected
    assert await refused(gateway, model=model) == expected
    assert await refused(gateway, model=f"openai/{model}") == expected


@pytest.mark.parametrize(("allowed", "denied"), [(["gpt-4o"], []), (["*"], ["o1"]), (["regex:.*"], [])], ids=repr)
async def test_without_a_model_only_who_may_use_every_one(
    gateway: Gateway, make: Factory, allowed: list[str], denied: list[str]
) -> None:
    key = await make.virtual_key(value=VALUE, name="ci-bot")
    await make.provider_config(virtual_key_id=key, allowed_models=allowed, blacklisted_models=denied)
    text = "virtual key ci-bot is restricted to some models: name the model of the call"
    for provider in (None, "openai"):
        assert await refused(gateway, provider=provider) == ("model_blocked", 403, text)
