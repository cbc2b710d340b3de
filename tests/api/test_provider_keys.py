"""Provider keys are made, changed and removed over HTTP; their secrets go in and never come out."""

import json
from typing import Any

import pytest

from service.domain.redaction import MASK
from service.domain.sealing import Sealer, sealed_provider_key
from service.store.postgres import Connection
from tests.api.calls import API, make_entity, read_entity, send
from tests.conftest import Clock, TestApi
from tests.factories import Factory
from tests.reading import read_only_customer

KEYS = f"{API}/provider-keys"
VALUE = "sk-proj-0123456789abcdefghijklmnop"
SHOWN = f"sk-p{MASK}mnop"
AZURE = {
    "endpoint": "https://your-resource.openai.azure.com",
    "deployments": {"gpt-4o": "gpt-4o-deployment"},
    "api_version": "2024-02-15-preview",
    "client_id": "env.AZURE_CLIENT_ID",
    "client_secret": "azure-secret",
}
SHOWN_AZURE = AZURE | {"client_secret": MASK}


async def make_key(api: TestApi, **fields: Any) -> Any:
    return await make_entity(api, "provider-keys", **({"name": "openai-1", "provider": "openai"} | fields))


async def put(api: TestApi, key: Any, **fields: Any) -> Any:
    status, answer = await send(api, "PUT", f"{KEYS}/{key['id']}", fields)
    assert status == 200, answer
    return answer["provider_key"]


async def secrets_of(connection: Connection, sealer: Sealer, key: Any) -> Any:
    sealed = await connection.fetchval("SELECT secrets_sealed FROM provider_keys WHERE id = $1", key["id"])
    return None if sealed is None else json.loads(sealer.open(sealed, belongs_to=sealed_provider_key(key["id"])))


async def everything_stored(connection: Connection) -> str:
    """All that is written of keys and their changes, as text."""
    rows = await connection.fetch("SELECT key::text FROM provider_keys AS key")
    rows += await connection.fetch("SELECT entry::text FROM audit_log AS entry")
    return " ".join(row[0] for row in rows)


async def test_what_is_created_is_read_back_without_its_secrets(
    api: TestApi, connection: Connection, sealer: Sealer
) -> None:
    made = await make_key(api, value=VALUE, weight=0.5, models=["gpt-4o"], azure_key_config=AZURE)
    assert made == await read_entity(api, "provider-keys", made["id"])
    assert (made["value"], made["azure_key_config"]) == (SHOWN, SHOWN_AZURE)
    assert (made["weight"], made["models"], made["is_active"], made["config_hash"]) == (0.5, ["gpt-4o"], True, "")
    assert "vertex_key_config" not in made
    assert await secrets_of(connection, sealer, made) == {
        "$.value": VALUE,
        "$.azure_key_config.client_secret": "azure-secret",
    }


async def test_a_key_of_variables_has_nothing_to_seal(api: TestApi, connection: Connection, sealer: Sealer) -> None:
    made = await make_key(api, value="env.OPENAI_API_KEY", bedrock_key_config={"secret_key": "env.AWS", "region": "x"})
    assert made["value"] == "env.OPENAI_API_KEY"
    assert made["bedrock_key_config"] == {"secret_key": "env.AWS", "region": "x"}
    assert await secrets_of(connection, sealer, made) is None


async def test_a_secret_is_in_no_row_but_sealed(api: TestApi, connection: Connection) -> None:
    made = await make_key(api, value=VALUE, azure_key_config=AZURE)
    await put(api, made, value="another-secret-of-this-provider-key", azure_key_config=AZURE | {"client_secret": "new"})
    await send(api, "PUT", f"{KEYS}/{made['id']}", {"value": f"{VALUE}{MASK}"})
    await send(api, "DELETE", f"{KEYS}/{made['id']}")
    await make_key(api, value=VALUE, vertex_key_config={"auth_credentials": VALUE}, bedrock_key_config={"a": [VALUE]})
    stored = await everything_stored(connection)
    for secret in (VALUE, VALUE[4:12], "azure-secret", "another-secret", "of-this-provider"):
        assert secret not in stored


async def test_what_is_left_out_of_an_update_stays(api: TestApi, connection: Connection, sealer: Sealer) -> None:
    made = await make_key(api, value=VALUE, azure_key_config=AZURE, weight=0.5, models=["gpt-4o"])
    secrets = await secrets_of(connection, sealer, made)
    changed = await put(api, made, name="renamed", is_active=False)
    assert changed == made | {"name": "renamed", "is_active": False, "updated_at": changed["updated_at"]}
    assert await secrets_of(connection, sealer, made) == secrets


async def test_what_is_sent_back_as_it_was_shown_stays(api: TestApi, connection: Connection, sealer: Sealer) -> None:
    made = await make_key(api, value=VALUE, azure_key_config=AZURE)
    secrets = await secrets_of(connection, sealer, made)
    shown = {name: value for name, value in made.items() if name not in ("id", "created_at", "updated_at")}
    await put(api, made, **shown)
    assert await secrets_of(connection, sealer, made) == secrets
    moved = SHOWN_AZURE | {"endpoint": "https://other.openai.azure.com"}
    assert (await put(api, made, azure_key_config=moved))["azure_key_config"] == moved
    assert await secrets_of(connection, sealer, made) == secrets
    actions = await connection.fetch("SELECT action FROM audit_log WHERE action LIKE '%secrets'")
    assert actions == []


async def test_a_new_secret_replaces_one_and_leaves_the_others(
    api: TestApi, connection: Connection, sealer: Sealer
) -> None:
    made = await make_key(api, value=VALUE, azure_key_config=AZURE)
    await put(api, made, azure_key_config=AZURE | {"client_secret": "newer"})
    assert await secrets_of(connection, sealer, made) == {
        "$.value": VALUE,
        "$.azure_key_config.client_secret": "newer",
    }
    changed = await put(api, made, value="", azure_key_config=None)
    assert changed["value"] == ""
    assert "azure_key_config" not in changed
    assert await secrets_of(connection, sealer, made) is None


async def test_a_replaced_secret_is_told_of_although_it_looks_the_same(api: TestApi, connection: Connection) -> None:
    made = await make_key(api, value="short-one")
    await put(api, made, value="short-two")
    entry = await connection.fetchrow("SELECT *, changes::text AS text FROM audit_log ORDER BY id DESC LIMIT 1")
    assert entry is not None
    assert (entry["action"], entry["entity_id"]) == ("provider_key.replace_secrets", made["id"])
    assert json.loads(entry["text"]) == {"$.value": [MASK, MASK]}


@pytest.mark.parametrize("value", [MASK, SHOWN, f"sk-x{MASK}mnop"])
async def test_a_redacted_form_never_becomes_a_secret(
    api: TestApi, connection: Connection, sealer: Sealer, value: str
) -> None:
    made = await make_key(api, value="some-other-secret-of-a-provider")
    for method, path in (("PUT", f"{KEYS}/{made['id']}"), ("POST", KEYS)):
        status, answer = await send(api, method, path, {"name": "new", "provider": "openai", "value": value})
        assert (status, answer["error"]["path"]) == (400, "$.value")
    assert await secrets_of(connection, sealer, made) == {"$.value": "some-other-secret-of-a-provider"}


async def test_a_key_whose_secrets_no_longer_open_can_be_removed_but_not_changed(
    api: TestApi, connection: Connection
) -> None:
    made = await make_key(api, value=VALUE)
    await connection.execute("UPDATE provider_keys SET secrets_sealed = 'x'::bytea")
    status, answer = await send(api, "PUT", f"{KEYS}/{made['id']}", {"name": "new"})
    assert (status, "can no longer be read" in answer["error"]["message"]) == (409, True)
    assert (await send(api, "DELETE", f"{KEYS}/{made['id']}"))[0] == 200


async def test_a_change_of_a_pinned_key_is_in_the_tree_at_once(api: TestApi, make: Factory) -> None:
    made = await make_key(api, value=VALUE)
    customer_id = await make.customer()
    config = await make.provider_config(
        virtual_key_id=await make.virtual_key(customer_id=customer_id), allow_all_keys=False
    )
    await make.pin(config, made["id"])

    async def pinned() -> Any:
        return (await read_only_customer(api))["virtual_keys"][0]["keys"]

    assert [(key["name"], key["value"]) for key in await pinned()] == [("openai-1", SHOWN)]
    await put(api, made, name="renamed", value="env.OPENAI_API_KEY")
    assert [(key["name"], key["value"]) for key in await pinned()] == [("renamed", "env.OPENAI_API_KEY")]
    await send(api, "DELETE", f"{KEYS}/{made['id']}")
    assert await pinned() == []


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"name": ""}, "$.name"),
        ({"provider": ""}, "$.provider"),
        ({"provider": "two words"}, "$.provider"),
        ({"provider": 5}, "$.provider"),
        ({"value": 5}, "$.value"),
        ({"value": "x" * 16385}, "$.value"),
        ({"weight": -1}, "$.weight"),
        ({"models": ["*", "gpt-4o"]}, "$.models[0]"),
        ({"models": ["GPT-4o", "gpt-4o"]}, "$.models[1]"),
        ({"azure_key_config": [VALUE]}, "$.azure_key_config"),
        ({"azure_key_config": VALUE}, "$.azure_key_config"),
        ({"azure_key_config": {"a": VALUE * 1000}}, "$.azure_key_config"),
        ({"vertex_key_config": {"auth": f"{VALUE}{MASK}"}}, "$.vertex_key_config.auth"),
        ({"bedrock_key_config": {"a": [[[[[[[[VALUE]]]]]]]]}}, "$.bedrock_key_config.a[0][0][0][0][0][0][0][0]"),
        ({"is_active": "yes"}, "$.is_active"),
    ],
)
async def test_a_fault_is_named_by_its_path_and_repeats_no_secret(
    api: TestApi, connection: Connection, fields: dict[str, Any], path: str
) -> None:
    status, answer = await send(api, "POST", KEYS, {"name": "a", "provider": "openai"} | fields)
    assert (status, answer["error"].get("path")) == (400, path), answer
    assert VALUE not in str(answer)
    assert await connection.fetchval("SELECT count(*) FROM provider_keys") == 0


async def test_a_name_and_a_provider_are_needed_and_a_name_is_taken_once(api: TestApi) -> None:
    assert (await send(api, "POST", KEYS, {"name": "a"}))[0] == 400
    assert (await send(api, "POST", KEYS, {"provider": "openai"}))[0] == 400
    await make_key(api)
    status, answer = await send(api, "POST", KEYS, {"name": "openai-1", "provider": "azure"})
    assert (status, answer["error"]["message"]) == (409, "A provider key with this name already exists")
    other = await make_key(api, name="other", provider="my-own.provider_2")
    assert (await send(api, "PUT", f"{KEYS}/{other['id']}", {"name": "openai-1"}))[0] == 409


async def test_a_list_is_paged_searched_and_narrowed(api: TestApi, clock: Clock) -> None:
    for name, provider in (("One", "openai"), ("two", "azure"), ("Onetwo", "azure")):
        clock.forward(seconds=1)
        await make_key(api, name=name, provider=provider)

    async def listed(query: str) -> tuple[list[str], int, int, int, int]:
        _, answer = await send(api, "GET", f"{KEYS}{query}")
        names = [key["name"] for key in answer["provider_keys"]]
        return names, answer["count"], answer["total_count"], answer["limit"], answer["offset"]

    assert await listed("") == (["One", "two", "Onetwo"], 3, 3, 3, 0)
    assert await listed("?provider=azure") == (["two", "Onetwo"], 2, 2, 2, 0)
    assert await listed("?search=one&limit=1&offset=1") == (["Onetwo"], 1, 2, 1, 1)
    assert await listed("?limit=1&offset=9&provider=openai") == ([], 0, 1, 1, 9)


async def test_an_edit_meant_for_an_older_key_is_refused(api: TestApi) -> None:
    made = await make_key(api, value="short-one")
    response = await api.get(f"{KEYS}/{made['id']}")
    etag = response.headers["ETag"]
    await put(api, made, value="short-two")
    status, _ = await send(api, "PUT", f"{KEYS}/{made['id']}", {"name": "b"}, **{"If-Match": etag})
    assert status == 412


async def test_an_unknown_key_is_not_found(api: TestApi) -> None:
    for method in ("GET", "PUT", "DELETE"):
        status, answer = await send(api, method, f"{KEYS}/none", {} if method == "PUT" else None)
        assert (status, answer["error"]["message"]) == (404, "Provider key not found")


async def test_text_that_cannot_be_stored_is_refused(api: TestApi) -> None:
    for endpoint in ("https://a\u0000b", "\u0000"):
        status, _ = await send(
            api, "POST", KEYS, {"name": "a", "provider": "azure", "azure_key_config": {"endpoint": endpoint}}
        )
        assert status == 400
    made = await make_key(api, value="\u0000\u202eab, but a secret may hold anything: 😀")
    assert made["value"] == f"**ab{MASK}g:**"
