"""The OpenAPI document: all of the routes, nothing else, and true of what they answer."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from service.app import build_app
from service.http.contract import API, Contract, Parameter, Route
from service.http.docs import docs
from service.http.openapi import build_document
from service.http.routes import ROUTES, route_pattern
from service.settings import Settings
from tests.api.shapes import walk
from tests.conftest import TestApi
from tests.factories import Factory
from tests.full_tree import make_full_tree

READ_ALL = ("customers", "teams", "virtual-keys", "model-configs", "budgets", "rate-limits")
REFUSED = {400: "/customers?limit=x", 404: "/customers/nobody"}


@pytest.fixture
async def document(storeless_api: TestApi) -> Any:
    """As it is served, without any store."""
    response = await storeless_api.get("/openapi.json")
    assert response.status == 200
    return await response.json()


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    """Method, path and description of each."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def faults(document: Any, schema: Any, answer: Any) -> list[str]:
    """Where the answer is not as the schema of the document says."""
    validator = OAS31Validator(schema | {"components": document["components"]})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(answer)]


def answer_schema(document: Any, path: str, status: int = 200) -> Any:
    response = document["paths"][path]["get"]["responses"][str(status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return response["content"]["application/json"]["schema"]


async def test_the_document_is_valid_openapi_3_1(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    validate(document)


async def test_every_route_of_the_app_is_in_the_document_and_no_other(
    storeless_settings: Settings, document: Any
) -> None:
    served = {
        ("GET" if route.method == "*" else route.method, route.resource.canonical)
        for route in build_app(storeless_settings).router.routes()
        if isinstance(route, web.ResourceRoute) and route.resource is not None and route.method != "HEAD"
    }
    assert {(method, path) for method, path, _ in operations(document)} == served


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_has_a_contract_of_its_own(route: Route) -> None:
    assert route.contract.says
    assert [other for other in ROUTES if other.handler is route.handler] == [route]
    if route.contract.media_types == ("application/json",):
        assert route.contract.answer
    if route.method in ("POST", "PUT", "PATCH") and route.contract.body is None:
        assert not route.path.endswith("}")


async def test_operations_are_called_by_names_of_their_own(document: Any) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert sorted(set(names)) == sorted(names)
    expected = {"list_teams", "get_team", "create_team", "update_team", "delete_team", "rotate_virtual_key"}
    assert expected <= set(names)
    assert {operation["tags"][0] for _, path, operation in operations(document) if "/teams" in path} == {"teams"}


async def test_operations_ask_for_the_scope_of_their_route(document: Any) -> None:
    asked = {(method, path): operation["security"] for method, path, operation in operations(document)}
    for route in ROUTES:
        without_token: dict[str, list[dict[str, list[str]]]] = {
            "open": [],
            "virtual_key": [{"virtualKey": []}],
            "forward_auth": [{"gatewayToken": []}],
        }
        expected = without_token.get(route.scope, [{"bearer": [route.scope]}])
        assert asked[route.shown_method, route.path] == expected


async def test_what_a_change_takes_and_answers_beside_its_body_is_told(document: Any) -> None:
    def headers(method: str, path: str) -> tuple[set[str], set[str]]:
        operation = document["paths"][f"{API}{path}"][method]
        sent = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "header"}
        return sent, set(operation["responses"]["200"].get("headers", {}))

    assert headers("post", "/teams") == ({"Idempotency-Key"}, {"ETag", "X-Request-Id", "Idempotent-Replayed"})
    assert headers("put", "/teams/{team_id}") == ({"If-Match"}, {"ETag", "X-Request-Id"})
    assert headers("get", "/teams/{team_id}") == (set(), {"ETag", "X-Governance-Usage-Source"})
    assert headers("get", "/teams") == (set(), {"X-Governance-Usage-Source"})
    assert headers("get", "/mcp-clients") == (set(), set())
    refusals = set(document["paths"][f"{API}/teams/{{team_id}}"]["put"]["responses"])
    assert refusals == {"200", "400", "401", "403", "404", "409", "412", "413", "415", "503"}


async def test_what_is_made_is_linked_to_all_that_can_be_done_with_it(document: Any) -> None:
    made = document["paths"][f"{API}/teams"]["post"]["responses"]["200"]
    assert set(made["links"]) == {"get_team", "update_team", "delete_team", "list_team_limits"}
    expected = {"operationId": "get_team", "parameters": {"team_id": "$response.body#/team/id"}}
    assert made["links"]["get_team"] == expected
    keys = document["paths"][f"{API}/virtual-keys"]["post"]["responses"]["200"]
    assert "rotate_virtual_key" in keys["links"]


async def test_no_python_pattern_is_left_in_the_document(document: Any) -> None:
    patterns = [value for path, value in walk(document) if path.endswith(".pattern") and isinstance(value, str)]
    assert patterns
    assert [pattern for pattern in patterns if r"\Z" in pattern] == []


@pytest.mark.parametrize("resource", READ_ALL)
async def test_what_is_answered_of_a_full_tree_is_as_the_document_says(
    api: TestApi, make: Factory, resource: str
) -> None:
    await make_full_tree(make)
    await make.model_config(id="everything", model_name="*")
    document = await (await api.get("/openapi.json")).json()
    listed = await (await api.get(f"{API}/{resource}")).json()
    assert faults(document, answer_schema(document, f"{API}/{resource}"), listed) == []
    entities = listed[resource.replace("-", "_")]
    assert entities
    one = next((path for path in document["paths"] if path.startswith(f"{API}/{resource}/{{")), None)
    if one is not None and one.count("/") == 4:
        answer = await (await api.get(f"{API}/{resource}/{entities[0]['id']}")).json()
        assert faults(document, answer_schema(document, one), answer) == []


async def test_an_answer_that_is_otherwise_is_seen(document: Any) -> None:
    schema = answer_schema(document, f"{API}/teams")
    right = {"teams": [], "count": 0, "total_count": 0, "limit": 0, "offset": 0}
    assert faults(document, schema, right) == []
    assert faults(document, schema, right | {"count": "none"}) == ["$.count: 'none' is not of type 'integer'"]
    assert faults(document, schema, right | {"teams": [{"id": "a"}]}) != []


@pytest.mark.parametrize("status", REFUSED)
async def test_refusals_are_as_the_document_says(api: TestApi, status: int) -> None:
    document = await (await api.get("/openapi.json")).json()
    response = await api.get(f"{API}{REFUSED[status]}")
    assert response.status == status
    schema = answer_schema(document, f"{API}/customers/{{customer_id}}", status)
    assert faults(document, schema, await response.json()) == []


def test_parameters_that_begin_alike_are_one_object() -> None:
    named = Parameter("metadata_*", "text", "by metadata")
    route = Route("GET", f"{API}/things", "read", docs, Contract(says="List", query=(named,), answer={"things": int}))
    parameter = build_document([route])["paths"][f"{API}/things"]["get"]["parameters"][0]
    assert (parameter["style"], parameter["explode"]) == ("form", True)
    validator = OAS31Validator(parameter["schema"])
    assert validator.is_valid({"metadata_team": "a"})
    assert not validator.is_valid({"other": "a"})
    assert not validator.is_valid({"metadata_": "a"})


def test_a_word_of_another_route_is_never_an_id() -> None:
    pattern = route_pattern(f"{API}/virtual-keys/{{virtual_key_id}}")
    assert "(?!(?:quota|rotate)(?:/|$))" in pattern
    assert route_pattern(f"{API}/teams/{{team_id}}") == f"{API}/teams/{{team_id:[^/]+}}"


async def test_a_method_of_an_entity_is_not_one_of_the_word_in_its_place(storeless_api: TestApi) -> None:
    response = await storeless_api.delete(f"{API}/virtual-keys/quota")
    assert response.status == 405
    assert set(response.headers["Allow"].split(",")) == {"GET", "HEAD"}


async def test_the_document_holds_no_secret(storeless_api: TestApi, storeless_settings: Settings) -> None:
    text = await (await storeless_api.get("/openapi.json")).text()
    assert storeless_settings.encryption_key not in text
    assert json.loads(text)["info"]["title"] == "LLM governance"


@pytest.mark.parametrize("duration", ["30s", "1h30m", "1.5h", "1d", "12M", "1Q", "daily", "quarterly"])
async def test_a_duration_of_the_grammar_is_in_the_document(document: Any, duration: str) -> None:
    schema = document["components"]["schemas"]["BudgetInput"]
    assert faults(document, schema, {"max_limit": 5, "reset_duration": duration}) == []


@pytest.mark.parametrize("duration", ["", "soon", "1", "1d2h", "-1s", "1D", "1 d"])
async def test_what_is_no_duration_is_not_in_the_document(document: Any, duration: str) -> None:
    schema = document["components"]["schemas"]["BudgetInput"]
    assert faults(document, schema, {"max_limit": 5, "reset_duration": duration}) != []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("TeamCreate", {"name": "a", "budget": {}, "budgets": []}),
        ("RateLimitInput", {"token_max_limit": 5}),
        ("RateLimitInput", {"shadow": True}),
        ("BudgetInput", {"max_limit": 5, "reset_duration": "1d", "alert_thresholds": [80, 80]}),
        ("RateLimitInput", {"token_max_limit": 5, "token_reset_duration": ""}),
        ("RateLimitInput", {"token_max_limit": 5, "token_reset_duration": "1Q"}),
        ("BudgetInput", {"max_limit": 5, "reset_duration": "1d", "reset_config": {"quarter_start_month": 2}}),
        ("BudgetInput", {"max_limit": 1e-10, "reset_duration": "1d"}),
        ("VirtualKeyCreate", {"name": "a", "team_id": "b", "customer_id": "c"}),
        ("OverrideInput", {"amount": 5, "mode": "cycles"}),
        ("OverrideInput", {"amount": 5, "mode": "forever", "cycles": 1}),
    ],
)
async def test_rules_between_fields_are_in_the_document(document: Any, kind: str, body: Any) -> None:
    assert faults(document, document["components"]["schemas"][kind], body) != []


async def test_a_whole_number_may_be_written_with_a_point(api: TestApi) -> None:
    limits = {"token_max_limit": 5.0, "token_reset_duration": "1h"}
    response = await api.post(f"{API}/teams", json={"name": "a", "rate_limit": limits})
    assert (await response.json())["team"]["rate_limit"]["token_max_limit"] == 5
