"""MCP tools: which a virtual key may use, by which names; limits are looked at first."""

import pytest
from redis.asyncio import Redis

from tests.factories import Factory
from tests.gateway import VALUE, Gateway, decided

# Tools of the virtual key's configs (None: none for that client), what is asked for, and whether it may be used.
TOOLS: tuple[tuple[list[str] | None, str, bool], ...] = (
    (["*"], "files-read", True),
    (["*"], "files/read", True),
    (["*"], "files:read", True),
    (["read"], "files-READ", True),
    (["regex:read_.*"], "files-read_all", True),
    (["read"], "files-write", False),
    ([], "files-read", False),
    (None, "files-read", False),
    (["*"], "read", False),
    (["*"], "files", False),
    (["*"], "files-", False),
    (["*"], "filesread", False),
    (["*"], "filesystem-read", False),
    (["*"], "other-read", False),
)


async def test_a_tool_is_named_by_its_client_and_itself(gateway: Gateway, make: Factory) -> None:
    client = await make.mcp_client(name="files")
    for number, (tools, tool, may_be_used) in enumerate(TOOLS):
        value = f"{VALUE}-{number}"
        key = await make.virtual_key(value=value, name=f"key {number}", allow_all_providers=True)
        if tools is not None:
            await make.mcp_config(virtual_key_id=key, mcp_client_id=client, tools_to_execute=tools)
        answer = await gateway.authorize(virtual_key=value, mcp_tools=[tool])
        assert answer["allowed"] == may_be_used, (tools, tool)
        if not may_be_used:
            assert decided(answer) == ("mcp_tool_blocked", 403)
            assert answer["message"] == f"MCP tool {tool} is not allowed for virtual key key {number}"


async def test_clients_allowed_by_default_are_open_to_keys_that_say_nothing_of_them(
    gateway: Gateway, make: Factory
) -> None:
    client = await make.mcp_client(name="files", allow_by_default=True, tools_to_execute=["read"])
    await make.virtual_key(value=VALUE, allow_all_providers=True)
    assert decided(await gateway.authorize(mcp_tools=["files-read"])) == ("allow", 200)
    assert decided(await gateway.authorize(mcp_tools=["files-read", "files-write"])) == ("mcp_tool_blocked", 403)
    other = await make.virtual_key(value="sk-bf-other", allow_all_providers=True)
    await make.mcp_config(virtual_key_id=other, mcp_client_id=client, tools_to_execute=["write"])
    for tool, decision in (("files-write", "allow"), ("files-read", "mcp_tool_blocked")):
        assert (await gateway.authorize(virtual_key="sk-bf-other", mcp_tools=[tool]))["decision"] == decision


async def test_one_tool_that_may_not_be_used_refuses_the_call_and_nothing_is_held(
    gateway: Gateway, make: Factory, redis: Redis
) -> None:
    client = await make.mcp_client(name="files")
    key = await make.virtual_key(value=VALUE, allow_all_providers=True)
    await make.mcp_config(virtual_key_id=key, mcp_client_id=client)
    await make.budget(virtual_key_id=key)
    answer = await gateway.authorize(mcp_tools=["files-read", "shell-run"], estimated_cost=1)
    assert decided(answer) == ("mcp_tool_blocked", 403)
    assert (answer["violations"], answer["limits"][0]["limit"]["held"]) == ([], 0)
    assert await redis.keys("gov:*held") == []
    assert decided(await gateway.authorize(mcp_tools=[], estimated_cost=1)) == ("allow", 200)


@pytest.mark.parametrize("weights", [(1, 0), (0, 1)], ids=str)
async def test_limits_refuse_before_tools_do_once_no_provider_has_room(
    gateway: Gateway, make: Factory, weights: tuple[float, float]
) -> None:
    key = await make.virtual_key(value=VALUE)
    for dollars, weight in enumerate(weights, start=1):
        config = await make.provider_config(virtual_key_id=key, provider=f"provider {dollars}", weight=weight)
        await make.budget(provider_config_id=config, max_limit_nanousd=dollars * 10**9)
    call = {"mcp_tools": ["shell-run"], "model": "gpt-4o"}
    assert decided(await gateway.authorize(**call, estimated_cost=1.5)) == ("mcp_tool_blocked", 403)
    assert decided(await gateway.authorize(**call, estimated_cost=2.5)) == ("budget_exceeded", 402)
