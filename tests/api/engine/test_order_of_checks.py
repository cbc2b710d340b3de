"""A call that is refused for everything is told of one thing after the other, in the documented order."""

from typing import Any

import msgspec
import pytest

from service.settings import Settings
from service.store.postgres import Connection
from tests.conftest import Clock
from tests.factories import Factory
from tests.gateway import VALUE, Gateway
from tests.waiting import until

# What mends each refusal, in the order they come up. Limits are mended by raising them.
MENDED: tuple[tuple[str, str], ...] = (
    ("access_blocked", "UPDATE virtual_keys SET is_active = true"),
    ("access_blocked", "UPDATE virtual_keys SET expires_at = NULL"),
    ("provider_blocked", "UPDATE virtual_key_provider_configs SET provider = 'openai'"),
    ("model_blocked", "UPDATE virtual_key_provider_configs SET blacklisted_models = '{}'"),
    ("provider_blocked", "UPDATE virtual_key_provider_configs SET allow_all_keys = true"),
    ("rate_limited", "UPDATE rate_limits SET token_max_limit = 100"),
    ("request_limited", "UPDATE rate_limits SET request_max_limit = 100"),
    ("parallel_limited", "UPDATE customers SET max_parallel_requests = NULL"),
    ("budget_exceeded", "UPDATE budgets SET max_limit_nanousd = 9000000000"),
    ("mcp_tool_blocked", "UPDATE mcp_clients SET allow_by_default = true"),
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, required_headers='{"x-team": "*"}')


async def test_first_refusal_wins_in_order(
    gateway: Gateway, make: Factory, connection: Connection, clock: Clock
) -> None:
    customer = await make.customer(max_parallel_requests=1)
    await make.provider_config(virtual_key_id=await make.virtual_key(value="sk-bf-sibling", customer_id=customer))
    await make.budget(customer_id=customer, max_limit_nanousd=1)
    await make.rate_limit(customer_id=customer, token_max_limit=1, request_max_limit=1)
    taken = {"virtual_key": "sk-bf-sibling", "estimated_input_tokens": 1, "estimated_cost": 1e-9}
    assert (await gateway.authorize(**taken, headers={"x-team": "a"}))["allowed"]
    await make.mcp_client(name="files", tools_to_execute=["*"])
    key = await make.virtual_key(value=VALUE, customer_id=customer, is_active=False, expires_at=clock.now)
    await make.provider_config(
        virtual_key_id=key, provider="azure", blacklisted_models=["gpt-4o"], allow_all_keys=False
    )
    call = {"provider": "openai", "model": "gpt-4o", "mcp_tools": ["files-read"]}

    assert (await gateway.authorize(**call, virtual_key=None))["decision"] == "missing_required_headers"
    headers = {"x-team": "a"}
    assert (await gateway.authorize(**call, virtual_key=None, headers=headers))["decision"] == "virtual_key_required"
    assert (await gateway.authorize(**call, virtual_key="sk-bf-x", headers=headers))["decision"] == "access_not_found"
    for number, (decision, mend) in enumerate(MENDED):
        answer = await gateway.authorize(**call, headers=headers)
        assert answer["decision"] == decision, (number, answer["message"])
        await connection.execute(mend)
        if "virtual_keys SET is_active" in mend:
            await until(lambda: is_told(gateway, call, "is expired"))
            continue
        following = "allow" if number + 1 == len(MENDED) else MENDED[number + 1][0]
        await until(lambda following=following: is_decided(gateway, call, following))  # type: ignore[misc]


async def is_told(gateway: Gateway, call: Any, words: str) -> bool:
    return words in (await gateway.authorize(**call, headers={"x-team": "a"}))["message"]


async def is_decided(gateway: Gateway, call: Any, decision: str) -> bool:
    return bool((await gateway.authorize(**call, headers={"x-team": "a"}))["decision"] == decision)
