"""Pricing overrides are made, merged and removed over HTTP, as Bifrost has it."""

import json
from typing import Any

import pytest

from service.domain.pricing import SCOPES, ScopeKind
from service.store.postgres import Connection
from tests.api.calls import API, read_entity, send
from tests.conftest import Clock, TestApi
from tests.factories import Factory

OVERRIDES = f"{API}/pricing-overrides"
PATCH = {"input_cost_per_token": 1e-06, "output_cost_per_image": 0.04}
GPT: dict[str, Any] = {
    "name": "discount",
    "scope_kind": "global",
    "match_type": "exact",
    "pattern": "gpt-4o",
    "patch": PATCH,
}
IDS = {"user_id": "u", "virtual_key_id": "vk", "provider_id": "openai", "provider_key_id": "pk"}


@pytest.fixture(autouse=True)
async def virtual_key(make: Factory) -> None:
    await make.virtual_key(id="vk")


async def make_override(api: TestApi, **fields: Any) -> Any:
    status, answer = await send(api, "POST", OVERRIDES, GPT | fields)
    assert status == 201, answer
    assert answer["message"] == "Pricing override created successfully"
    return answer["pricing_override"]


async def put(api: TestApi, override: Any, **fields: Any) -> Any:
    status, answer = await send(api, "PUT", f"{OVERRIDES}/{override['id']}", fields)
    assert status == 200, answer
    return answer["pricing_override"]


def ids_of(kind: ScopeKind) -> dict[str, str]:
    return {name: IDS[name] for name in SCOPES[kind]}


async def test_what_is_created_is_read_back(api: TestApi) -> None:
    made = await make_override(api, request_types=["chat_completion", "responses"])
    assert made == await read_entity(api, "pricing-overrides", made["id"])
    assert isinstance(made["pricing_patch"], str)
    assert json.loads(made["pricing_patch"]) == PATCH
    assert made["request_types"] == ["chat_completion", "responses"]
    for field in ("name", "scope_kind", "match_type", "pattern"):
        assert made[field] == GPT[field]
    assert not IDS.keys() & made.keys()


@pytest.mark.parametrize("kind", SCOPES)
async def test_a_kind_of_scope_has_just_its_ids(api: TestApi, connection: Connection, kind: ScopeKind) -> None:
    made = await make_override(api, scope_kind=kind, **ids_of(kind))
    assert {name: made[name] for name in IDS if name in made} == ids_of(kind)
    for name, value in IDS.items():
        turned = ids_of(kind)
        if turned.pop(name, None) is None:
            turned[name] = value
        status, answer = await send(api, "POST", OVERRIDES, GPT | {"scope_kind": kind} | turned)
        assert (status, answer["error"]["path"]) == (400, f"$.{name}")
    assert await connection.fetchval("SELECT count(*) FROM pricing_overrides") == 1


async def test_a_virtual_key_that_is_not_there_is_refused(api: TestApi, connection: Connection) -> None:
    fields = {"scope_kind": "virtual_key", "virtual_key_id": "none"}
    status, answer = await send(api, "POST", OVERRIDES, GPT | fields)
    assert (status, answer["error"]["path"]) == (400, "$.virtual_key_id")
    made = await make_override(api)
    assert (await send(api, "PUT", f"{OVERRIDES}/{made['id']}", fields))[0] == 400
    assert await read_entity(api, "pricing-overrides", made["id"]) == made


async def test_the_overrides_of_a_deleted_virtual_key_go(api: TestApi, connection: Connection) -> None:
    made = await make_override(api, scope_kind="virtual_key", virtual_key_id="vk")
    await connection.execute("DELETE FROM virtual_keys")
    assert (await send(api, "GET", f"{OVERRIDES}/{made['id']}"))[0] == 404


async def test_what_is_left_out_of_an_update_stays_and_a_patch_is_replaced_whole(api: TestApi) -> None:
    made = await make_override(api, scope_kind="virtual_key", virtual_key_id="vk", request_types=["embedding"])
    changed = await put(api, made, name="new", patch={"output_cost_per_token": 2})
    assert json.loads(changed["pricing_patch"]) == {"output_cost_per_token": 2}
    same = {"pricing_patch": made["pricing_patch"], "updated_at": made["updated_at"], "name": made["name"]}
    assert changed | same == made
    cleared = await put(api, made, request_types=None, patch=None)
    assert (cleared["request_types"], cleared["pricing_patch"]) == ([], "{}")


async def test_another_kind_of_scope_first_clears_all_ids(api: TestApi) -> None:
    kind: ScopeKind = "virtual_key_provider_key"
    made = await make_override(api, scope_kind=kind, **ids_of(kind))
    changed = await put(api, made, scope_kind="user_provider", user_id="u", provider_id="azure")
    assert {name: changed[name] for name in IDS if name in changed} == {"user_id": "u", "provider_id": "azure"}
    status, answer = await send(api, "PUT", f"{OVERRIDES}/{made['id']}", {"scope_kind": "provider"})
    assert (status, answer["error"]["path"]) == (400, "$.provider_id")
    assert not IDS.keys() & (await put(api, made, scope_kind="global")).keys()


async def test_the_same_kind_of_scope_keeps_the_ids_and_null_clears_one(api: TestApi) -> None:
    made = await make_override(api, scope_kind="provider", provider_id="openai")
    assert (await put(api, made, scope_kind="provider", name="x"))["provider_id"] == "openai"
    for cleared in (None, ""):
        status, answer = await send(api, "PUT", f"{OVERRIDES}/{made['id']}", {"provider_id": cleared})
        assert (status, answer["error"]["path"]) == (400, "$.provider_id")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"name": ""}, "$.name"),
        ({"scope_kind": "team"}, "$.scope_kind"),
        ({"match_type": "regex"}, "$.match_type"),
        ({"pattern": ""}, "$.pattern"),
        ({"pattern": " gpt-4o"}, "$.pattern"),
        ({"pattern": "gpt-*"}, "$.pattern"),
        ({"match_type": "wildcard"}, "$.pattern"),
        ({"match_type": "wildcard", "pattern": "*"}, "$.pattern"),
        ({"match_type": "wildcard", "pattern": "gpt-*-*"}, "$.pattern"),
        ({"match_type": "wildcard", "pattern": "*-mini"}, "$.pattern"),
        ({"request_types": ["chat"]}, "$.request_types[0]"),
        ({"request_types": ["embedding", "embedding"]}, "$.request_types[1]"),
        ({"patch": {"input_cost_per_tokn": 1}}, "$.patch.input_cost_per_tokn"),
        ({"patch": {"input_cost_per_token": -1e-9}}, "$.patch.input_cost_per_token"),
        ({"patch": {"input_cost_per_token": 1000.1}}, "$.patch.input_cost_per_token"),
        ({"patch": [1]}, "$.patch"),
    ],
)
async def test_a_fault_is_named_by_its_path_and_nothing_is_written(
    api: TestApi, connection: Connection, fields: dict[str, Any], path: str
) -> None:
    status, answer = await send(api, "POST", OVERRIDES, GPT | fields)
    assert (status, answer["error"].get("path")) == (400, path), answer
    assert await connection.fetchval("SELECT count(*) FROM pricing_overrides") == 0


@pytest.mark.parametrize("body", ['{"input_cost_per_token": 1e999}', '{"input_cost_per_token": NaN}', '{"a": "1"}'])
async def test_a_price_is_a_finite_number(api: TestApi, body: str) -> None:
    document = json.dumps({name: value for name, value in GPT.items() if name != "patch"})[:-1] + f', "patch": {body}}}'
    response = await api.post(OVERRIDES, data=document, headers={"Content-Type": "application/json"})
    assert response.status == 400


async def test_a_misspelt_price_is_told_apart(api: TestApi) -> None:
    _, answer = await send(api, "POST", OVERRIDES, GPT | {"patch": {"input_cost_per_tokn": 1}})
    assert "did you mean 'input_cost_per_token'?" in answer["error"]["message"]


async def test_a_list_is_narrowed_by_scope_and_searched(api: TestApi, clock: Clock) -> None:
    for kind in SCOPES:
        clock.forward(seconds=1)
        await make_override(api, name=kind, scope_kind=kind, **ids_of(kind))
    await make_override(api, name="wide", match_type="wildcard", pattern="Claude-*")

    async def listed(query: str) -> list[str]:
        status, answer = await send(api, "GET", f"{OVERRIDES}?{query}")
        assert status == 200
        assert answer["count"] == len(answer["pricing_overrides"])
        return [override["name"] for override in answer["pricing_overrides"]]

    assert len(await listed("")) == len(SCOPES) + 1
    assert await listed("scope_kind=user") == ["user"]
    assert await listed("virtual_key_id=vk&provider_key_id=pk") == ["virtual_key_provider_key"]
    assert await listed("user_id=u&limit=2") == ["user_provider_key", "user_provider"]
    assert await listed("provider_id=azure") == []
    assert await listed("search=claude") == ["wide"]
    assert await listed("search=WIDE") == ["wide"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("limit=x", "must be a number"),
        ("offset=1.5", "must be a number"),
        ("limit=-1", "must be non-negative"),
        ("offset=-1", "must be non-negative"),
        ("scope_kind=team", "must be one of"),
    ],
)
async def test_a_list_parameter_that_cannot_be_meant_is_refused(api: TestApi, query: str, says: str) -> None:
    status, answer = await send(api, "GET", f"{OVERRIDES}?{query}")
    assert status == 400
    assert says in answer["error"]["message"]


async def test_every_change_is_in_the_audit_log(api: TestApi, connection: Connection) -> None:
    made = await make_override(api)
    await put(api, made, pattern="gpt-4.1")
    assert (await send(api, "DELETE", f"{OVERRIDES}/{made['id']}"))[0] == 200
    assert (await send(api, "GET", f"{OVERRIDES}/{made['id']}"))[0] == 404
    rows = await connection.fetch("SELECT action, changes::text AS text FROM audit_log ORDER BY id")
    assert [row["action"].split(".")[1] for row in rows] == ["create", "update", "delete"]
    assert json.loads(rows[1]["text"]) == {"pattern": ["gpt-4o", "gpt-4.1"]}


async def test_an_unknown_override_is_not_found(api: TestApi) -> None:
    for method in ("GET", "PUT", "DELETE"):
        status, answer = await send(api, method, f"{OVERRIDES}/none", {} if method == "PUT" else None)
        assert (status, answer["error"]["message"]) == (404, "Pricing override not found")
