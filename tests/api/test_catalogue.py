"""Bifrost's own lists of keys, providers and MCP clients."""

from typing import Any

import pytest

from service.domain.redaction import MASK
from tests.api.calls import make_entity, send
from tests.conftest import Clock, TestApi
from tests.factories import Factory

VALUE = "sk-proj-0123456789abcdefghijklmnop"


async def read(api: TestApi, path: str) -> Any:
    status, answer = await send(api, "GET", path)
    assert status == 200, answer
    return answer


@pytest.fixture
async def keys(api: TestApi, clock: Clock) -> list[Any]:
    made = []
    for name, provider, value in (("a", "openai", VALUE), ("b", "azure", "env.AZURE"), ("c", "openai", "")):
        clock.forward(seconds=1)
        fields = {"name": name, "provider": provider, "value": value, "models": ["*"], "weight": 0.5}
        made.append(await make_entity(api, "provider-keys", **fields))
    return made


async def test_keys_are_an_array_with_their_secrets_redacted(api: TestApi, keys: list[Any]) -> None:
    listed = await read(api, "/api/keys")
    assert listed[0] == {
        "id": keys[0]["id"],
        "key_id": keys[0]["id"],
        "name": "a",
        "provider": "openai",
        "value": f"sk-p{MASK}mnop",
        "models": ["*"],
        "weight": 0.5,
        "enabled": True,
        "config_hash": "",
    }
    assert [key["name"] for key in listed] == ["a", "b", "c"]


async def test_providers_are_those_there_are_keys_of(api: TestApi, keys: list[Any]) -> None:
    answer = await read(api, "/api/providers")
    assert answer["total"] == 2
    names = {provider["name"]: [key["name"] for key in provider["keys"]] for provider in answer["providers"]}
    assert names == {"azure": ["b"], "openai": ["a", "c"]}
    assert answer["providers"][1]["keys"] == [key for key in await read(api, "/api/keys") if key["name"] != "b"]


async def test_mcp_clients_are_an_array_with_their_config_tools_and_state(api: TestApi) -> None:
    url = "https://mcp.example.com/secret"
    made = await make_entity(
        api, "mcp-clients", name="github", connection_string=url, tools_to_execute=["b", "a"], allow_by_default=True
    )
    assert await read(api, "/api/mcp/clients") == [
        {
            "config": {
                "id": made["id"],
                "client_id": str(made["id"]),
                "name": "github",
                "connection_type": "http",
                "connection_string": f"https://mcp.example.com/{MASK}",
                "tools_to_execute": ["b", "a"],
                "allow_on_all_virtual_keys": True,
                "config_hash": "",
            },
            "tools": [{"name": "b"}, {"name": "a"}],
            "state": "disconnected",
        }
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["one", "two", "three"]),
        ("?search=T", ["two", "three"]),
        ("?limit=1&offset=1", ["two"]),
        ("?connection_type=sse", ["two"]),
    ],
)
async def test_mcp_clients_are_narrowed_as_bifrost_does(api: TestApi, query: str, names: list[str]) -> None:
    for name, kind in (("one", "http"), ("two", "sse"), ("three", "stdio")):
        await make_entity(api, "mcp-clients", name=name, connection_type=kind)
    assert [client["config"]["name"] for client in await read(api, f"/api/mcp/clients{query}")] == names


async def test_without_anything_the_lists_are_empty(api: TestApi) -> None:
    assert await read(api, "/api/keys") == []
    assert await read(api, "/api/mcp/clients") == []
    assert await read(api, "/api/providers") == {"providers": [], "total": 0}


async def test_more_than_a_piece_is_sent_whole_and_in_order(api: TestApi, make: Factory) -> None:
    names = [f"key {number:04d}" for number in range(501)]
    for name in names:
        await make.provider_key(name=name)
    assert [key["name"] for key in await read(api, "/api/keys")] == names
