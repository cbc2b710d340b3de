"""MCP clients are made, changed and removed over HTTP; what is secret in their connections is never shown."""

from typing import Any

import pytest

from service.domain.redaction import MASK
from service.domain.sealing import Sealer, sealed_mcp_client
from service.store.postgres import Connection
from tests.api.calls import API, make_entity, read_entity, send
from tests.conftest import TestApi
from tests.factories import Factory
from tests.reading import read_only_customer

CLIENTS = f"{API}/mcp-clients"
URL = "https://user:password@mcp.example.com/s/token-in-a-path/sse?key=xyz"
SHOWN = f"https://mcp.example.com/{MASK}"


async def make_client(api: TestApi, **fields: Any) -> Any:
    return await make_entity(api, "mcp-clients", **({"name": "github", "connection_string": URL} | fields))


async def put(api: TestApi, client: Any, **fields: Any) -> Any:
    status, answer = await send(api, "PUT", f"{CLIENTS}/{client['id']}", fields)
    assert status == 200, answer
    return answer["mcp_client"]


async def connection_of(connection: Connection, sealer: Sealer, client: Any) -> str:
    """In full."""
    row = await connection.fetchrow("SELECT * FROM mcp_clients WHERE id = $1", client["id"])
    assert row is not None
    if row["connection_sealed"] is None:
        return str(row["connection_string"])
    return sealer.open(row["connection_sealed"], belongs_to=sealed_mcp_client(client["id"]))


async def test_what_is_created_is_read_back_without_its_secrets(
    api: TestApi, connection: Connection, sealer: Sealer
) -> None:
    made = await make_client(api, connection_type="sse", tools_to_execute=["find"], allow_by_default=True)
    assert isinstance(made["id"], int)
    assert made == await read_entity(api, "mcp-clients", str(made["id"]))
    assert (made["connection_type"], made["connection_string"]) == ("sse", SHOWN)
    assert (made["tools_to_execute"], made["allow_by_default"]) == (["find"], True)
    assert await connection_of(connection, sealer, made) == URL


async def test_a_client_has_all_tools_and_no_default_grant_unless_told(api: TestApi) -> None:
    made = await make_entity(api, "mcp-clients", name="plain")
    assert (made["connection_type"], made["connection_string"]) == ("http", "")
    assert (made["tools_to_execute"], made["allow_by_default"]) == (["*"], False)
    assert (await make_client(api, name="none", tools_to_execute=[]))["tools_to_execute"] == []


@pytest.mark.parametrize(
    ("connection_type", "given", "shown"),
    [
        ("http", "env.MCP_URL", "env.MCP_URL"),
        ("sse", "http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("stdio", "mcp-repository", "mcp-repository"),
        ("stdio", "mcp-repository --token abc", f"mcp-repository {MASK}"),
    ],
)
async def test_a_connection_is_shown_as_far_as_nothing_in_it_is_secret(
    api: TestApi, connection: Connection, sealer: Sealer, connection_type: str, given: str, shown: str
) -> None:
    made = await make_client(api, connection_type=connection_type, connection_string=given)
    assert made["connection_string"] == shown
    assert await connection_of(connection, sealer, made) == given


async def test_a_connection_that_is_left_out_or_sent_back_as_shown_stays(
    api: TestApi, connection: Connection, sealer: Sealer
) -> None:
    made = await make_client(api)
    changed = await put(api, made, name="renamed", tools_to_execute=["a"])
    assert changed == made | {"name": "renamed", "tools_to_execute": ["a"], "updated_at": changed["updated_at"]}
    await put(api, made, connection_string=SHOWN)
    assert await connection_of(connection, sealer, made) == URL
    assert (
        await connection.fetchval("SELECT count(*) FROM audit_log WHERE action = 'mcp_client.replace_connection'") == 0
    )


async def test_a_new_connection_is_told_of_although_it_looks_the_same(
    api: TestApi, connection: Connection, sealer: Sealer
) -> None:
    made = await make_client(api)
    await put(api, made, connection_string=f"{URL}&more")
    assert await connection_of(connection, sealer, made) == f"{URL}&more"
    row = await connection.fetchrow("SELECT changes::text AS text, action FROM audit_log ORDER BY id DESC LIMIT 1")
    assert row is not None
    assert row["action"] == "mcp_client.replace_connection"
    stored = " ".join(row[0] for row in await connection.fetch("SELECT entry::text FROM audit_log AS entry"))
    stored += str(await connection.fetchval("SELECT client::text FROM mcp_clients AS client"))
    for secret in ("password", "token-in-a-path", "xyz"):
        assert secret not in stored


@pytest.mark.parametrize("given", [f"https://other.example.com/{MASK}", MASK])
async def test_a_redacted_form_never_becomes_a_connection(api: TestApi, given: str) -> None:
    made = await make_client(api)
    status, answer = await send(api, "PUT", f"{CLIENTS}/{made['id']}", {"connection_string": given})
    assert (status, answer["error"]["path"]) == (400, "$.connection_string")


async def test_the_older_name_of_the_default_grant_is_taken(api: TestApi) -> None:
    made = await make_client(api, allow_on_all_virtual_keys=True)
    assert made["allow_by_default"] is True
    assert (await put(api, made, name="renamed"))["allow_by_default"] is True
    assert (await put(api, made, allow_on_all_virtual_keys=False))["allow_by_default"] is False


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"name": ""}, "$.name"),
        ({"connection_type": "smoke"}, "$.connection_type"),
        ({"connection_string": "mcp-repository --token secret"}, "$.connection_string"),
        ({"connection_string": "ftp://secret@mcp.example.com"}, "$.connection_string"),
        ({"connection_type": "sse", "connection_string": "https:///secret"}, "$.connection_string"),
        ({"connection_string": "https://" + "secret" * 2000}, "$.connection_string"),
        ({"tools_to_execute": ["*", "find"]}, "$.tools_to_execute[0]"),
        ({"tools_to_execute": ["find", "FIND"]}, "$.tools_to_execute[1]"),
        ({"tools_to_execute": [""]}, "$.tools_to_execute[0]"),
        ({"allow_by_default": True, "allow_on_all_virtual_keys": False}, "$.allow_on_all_virtual_keys"),
    ],
)
async def test_a_fault_is_named_by_its_path_and_nothing_is_written(
    api: TestApi, connection: Connection, fields: dict[str, Any], path: str
) -> None:
    status, answer = await send(api, "POST", CLIENTS, {"name": "a"} | fields)
    assert (status, answer["error"].get("path")) == (400, path), answer
    assert "secret" not in str(answer)
    assert await connection.fetchval("SELECT count(*) FROM mcp_clients") == 0


async def test_another_type_is_held_to_the_connection_that_is_there(api: TestApi) -> None:
    made = await make_client(api, connection_type="stdio", connection_string="mcp-repository")
    status, answer = await send(api, "PUT", f"{CLIENTS}/{made['id']}", {"connection_type": "http"})
    assert (status, answer["error"]["path"]) == (400, "$.connection_string")


async def test_a_name_is_taken_once(api: TestApi) -> None:
    await make_client(api)
    status, answer = await send(api, "POST", CLIENTS, {"name": "github"})
    assert (status, answer["error"]["message"]) == (409, "An MCP client with this name already exists")


async def test_a_change_of_a_granted_client_is_in_the_tree_at_once(api: TestApi, make: Factory) -> None:
    made = await make_client(api)
    virtual_key_id = await make.virtual_key(customer_id=await make.customer())
    await make.mcp_config(virtual_key_id=virtual_key_id, mcp_client_id=made["id"])

    async def granted() -> list[str]:
        configs = (await read_only_customer(api))["virtual_keys"][0]["mcp_configs"]
        return [config["mcp_client_name"] for config in configs]

    assert await granted() == ["github"]
    await put(api, made, name="renamed")
    assert await granted() == ["renamed"]
    await send(api, "DELETE", f"{CLIENTS}/{made['id']}")
    assert await granted() == []


async def test_a_list_is_paged_and_searched(api: TestApi) -> None:
    for name in ("One", "two", "Onetwo"):
        await make_client(api, name=name)
    _, answer = await send(api, "GET", f"{CLIENTS}?search=one&limit=1&offset=1")
    assert [client["name"] for client in answer["mcp_clients"]] == ["Onetwo"]
    assert (answer["count"], answer["total_count"], answer["limit"], answer["offset"]) == (1, 2, 1, 1)
    _, answer = await send(api, "GET", CLIENTS)
    assert [client["name"] for client in answer["mcp_clients"]] == ["One", "two", "Onetwo"]


@pytest.mark.parametrize("client_id", ["1000", "0", "01", "-1", "1.0", "one", "9" * 30, "²"])
async def test_an_unknown_client_is_not_found(api: TestApi, client_id: str) -> None:
    await make_client(api)
    for method in ("GET", "PUT", "DELETE"):
        status, answer = await send(api, method, f"{CLIENTS}/{client_id}", {} if method == "PUT" else None)
        assert (status, answer["error"]["message"]) == (404, "MCP client not found")
