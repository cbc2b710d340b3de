"""Routing rules are made, merged and removed over HTTP, under both of Bifrost's paths."""

import json
from typing import Any

import pytest

from service.store.postgres import Connection
from tests.api.calls import API, send
from tests.conftest import Clock, TestApi
from tests.factories import Factory

RULES = f"{API}/routing-rules"
PATHS = (RULES, "/api/routing/rules")
RULE: dict[str, Any] = {"name": "cheap", "targets": [{"provider": "openai", "model": "gpt-4o-mini"}]}
OWNERS = {"customer": "c", "team": "t", "virtual_key": "vk"}


@pytest.fixture(autouse=True)
async def owners(make: Factory) -> None:
    await make.customer(id="c")
    await make.team(id="t")
    await make.virtual_key(id="vk")


async def make_rule(api: TestApi, path: str = RULES, **fields: Any) -> Any:
    status, answer = await send(api, "POST", path, RULE | fields)
    assert status == 200, answer
    assert answer["message"] == "Routing rule created successfully"
    return answer["rule"]


async def put(api: TestApi, rule: Any, **fields: Any) -> Any:
    status, answer = await send(api, "PUT", f"{RULES}/{rule['id']}", fields)
    assert status == 200, answer
    assert answer["message"] == "Routing rule updated successfully"
    return answer["rule"]


async def refused(api: TestApi, **fields: Any) -> tuple[int, str, str]:
    """Status, path and message of the refusal of a creation."""
    status, answer = await send(api, "POST", RULES, RULE | fields)
    return status, answer["error"].get("path"), answer["error"]["message"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_rule_lives_under_both_paths(api: TestApi, path: str) -> None:
    made = await make_rule(api, path)
    for either in PATHS:
        assert await send(api, "GET", f"{either}/{made['id']}") == (200, {"rule": made})
        assert (await send(api, "GET", either))[1]["rules"] == [made]
    changed = await send(api, "PUT", f"{path}/{made['id']}", {"priority": 3})
    assert changed[1]["rule"]["priority"] == 3
    assert (await send(api, "DELETE", f"{path}/{made['id']}"))[0] == 200
    for method in ("GET", "PUT", "DELETE"):
        status, answer = await send(api, method, f"{path}/{made['id']}", {} if method == "PUT" else None)
        assert (status, answer["error"]["message"]) == (404, "Routing rule not found")


async def test_what_is_left_out_of_a_creation_has_its_default(api: TestApi) -> None:
    made = await make_rule(api)
    assert made["targets"] == [{"provider": "openai", "model": "gpt-4o-mini", "weight": 1}]
    defaults = {"description": "", "enabled": True, "chain_rule": False, "cel_expression": "", "fallbacks": []}
    assert made == made | defaults | {"scope": "global", "scope_id": None, "priority": 0}
    assert not {"query", "ttft_timeout_ms"} & made.keys()


async def test_all_that_is_sent_is_read_back(api: TestApi) -> None:
    fields: dict[str, Any] = {
        "name": "spill over",
        "description": "two\nlines",
        "enabled": False,
        "chain_rule": True,
        "cel_expression": 'budget_used > 80 && headers["x-tier"] == "free"',
        "targets": [{"provider": "azure", "key_id": "k", "weight": 0.7}, {"model": "gpt-4o", "weight": 0.3005}],
        "fallbacks": ["openai/gpt-4o", "groq/", {"provider": "azure", "model": "o3"}],
        "query": {"combinator": "and", "rules": [{"field": "model", "operator": "=", "value": "gpt-4o"}]},
        "scope": "team",
        "scope_id": "t",
        "priority": -5,
        "ttft_timeout_ms": 1500,
    }
    made = await make_rule(api, **fields)
    assert made == made | fields


async def test_what_is_left_out_of_an_update_stays_and_null_clears(api: TestApi) -> None:
    fields: dict[str, Any] = {
        "query": {"a": 1},
        "ttft_timeout_ms": 9,
        "fallbacks": ["openai/o3"],
        "cel_expression": 'model == "a"',
    }
    made = await make_rule(api, **fields)
    changed = await put(api, made, name="new")
    assert changed | {"name": made["name"], "updated_at": made["updated_at"]} == made
    cleared = await put(api, made, query=None, ttft_timeout_ms=None, fallbacks=None)
    assert cleared["fallbacks"] == []
    assert not {"query", "ttft_timeout_ms"} & cleared.keys()
    assert cleared["cel_expression"] == 'model == "a"'


@pytest.mark.parametrize("scope", OWNERS)
async def test_a_rule_of_an_owner_goes_with_it(api: TestApi, connection: Connection, scope: str) -> None:
    made = await make_rule(api, scope=scope, scope_id=OWNERS[scope])
    assert (made["scope"], made["scope_id"]) == (scope, OWNERS[scope])
    await connection.execute(f"DELETE FROM {scope}s")
    assert (await send(api, "GET", f"{RULES}/{made['id']}"))[0] == 404


@pytest.mark.parametrize("scope", OWNERS)
async def test_an_owner_is_needed_and_must_be_there(api: TestApi, scope: str) -> None:
    for none in ({}, {"scope_id": ""}, {"scope_id": None}):
        said = f"scope_id is required for scope '{scope}'"
        assert await refused(api, scope=scope, **none) == (400, "$.scope_id", said)
    said = f"there is no such {scope.replace('_', ' ')}"
    assert await refused(api, scope=scope, scope_id="none") == (400, "$.scope_id", said)


async def test_another_scope_needs_its_own_owner_and_the_global_one_drops_it(api: TestApi) -> None:
    assert (await make_rule(api, scope="global", scope_id="t"))["scope_id"] is None
    made = await make_rule(api, name="team's", scope="team", scope_id="t")
    status, answer = await send(api, "PUT", f"{RULES}/{made['id']}", {"scope": "customer"})
    assert (status, answer["error"]["message"]) == (400, "scope_id is required for scope 'customer'")
    moved = await put(api, made, scope="customer", scope_id="c")
    assert (moved["scope"], moved["scope_id"]) == ("customer", "c")
    assert (await put(api, made, scope="customer", enabled=False))["scope_id"] == "c"
    assert (await put(api, made, scope="global"))["scope_id"] is None


async def test_no_rule_is_made_in_the_scope_of_users(api: TestApi) -> None:
    assert (await refused(api, scope="user", scope_id="u"))[:2] == (403, "$.scope")
    made = await make_rule(api)
    assert (await send(api, "PUT", f"{RULES}/{made['id']}", {"scope": "user", "scope_id": "u"}))[0] == 403


async def test_a_name_is_free_again_in_another_scope(api: TestApi) -> None:
    await make_rule(api)
    await make_rule(api, scope="team", scope_id="t")
    other = await make_rule(api, scope="customer", scope_id="c")
    for scope in ({}, {"scope": "team", "scope_id": "t"}):
        assert (await refused(api, **scope))[:2] == (409, "$.name")
    status, answer = await send(api, "PUT", f"{RULES}/{other['id']}", {"scope": "global"})
    assert (status, answer["error"]["path"]) == (409, "$.name")


@pytest.mark.parametrize(
    ("fields", "path", "says"),
    [
        ({"name": ""}, "$.name", "name field is required"),
        ({"name": "  "}, "$.name", "name field is required"),
        ({"targets": []}, "$.targets", "at least one target is required"),
        ({"targets": [{"weight": -1}]}, "$.targets[0].weight", "each target weight must be positive"),
        ({"targets": [{"weight": 0}]}, "$.targets[0].weight", "each target weight must be positive"),
        ({"targets": [{"weight": 0.998}]}, "$.targets", "target weights must sum to 1, got 0.9980"),
        ({"targets": [{}, {"model": "a"}]}, "$.targets", "target weights must sum to 1, got 2.0000"),
        ({"targets": [{"key_id": "k"}]}, "$.targets[0].key_id", "key_id requires provider to be set"),
        (
            {"targets": [{"provider": "OpenAI", "model": "A", "weight": 0.5}, {"provider": "openai", "model": "a"}]},
            "$.targets[1]",
            "duplicate target entry: as targets[0]",
        ),
        ({"fallbacks": ["gpt-4o"]}, "$.fallbacks[0]", "holds characters it may not hold"),
        ({"fallbacks": ["/gpt-4o"]}, "$.fallbacks[0]", "holds characters it may not hold"),
        ({"fallbacks": [{"model": "gpt-4o"}]}, "$.fallbacks[0].provider", "provider is required"),
        ({"scope": "project"}, "$.scope", "Invalid enum value 'project'"),
        ({"priority": 1.5}, "$.priority", "Expected `int | null`, got `float`"),
        ({"query": [1]}, "$.query", "Expected `object | null`, got `array`"),
        ({"query": {"a": "b" * 65536}}, "$.query", "is larger than 64 KiB"),
        ({"ttft_timeout_ms": -1}, "$.ttft_timeout_ms", "Expected `int` >= 0"),
    ],
)
async def test_a_fault_is_named_by_its_path_and_nothing_is_written(
    api: TestApi, connection: Connection, fields: dict[str, Any], path: str, says: str
) -> None:
    assert await refused(api, **fields) == (400, path, says)
    assert await connection.fetchval("SELECT count(*) FROM routing_rules") == 0


@pytest.mark.parametrize("missing", ["name", "targets"])
async def test_what_a_creation_needs_is_asked_for(api: TestApi, missing: str) -> None:
    body = {name: value for name, value in RULE.items() if name != missing}
    status, answer = await send(api, "POST", RULES, body)
    assert (status, answer["error"]["path"]) == (400, f"$.{missing}")
    assert "required" in answer["error"]["message"]


async def test_a_query_may_nest_only_so_deep(api: TestApi) -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"rules": [deep]}
    assert await refused(api, query=deep) == (400, "$.query", "nests deeper than 32")


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "true",
        'model.startsWith("gpt-4") && provider != "azure"',
        "budget_used > 80 || tokens_used >= 99.5 || request > 10",
        'headers["x-team"] in ["a", "b"] && has(params.fast)',
        'virtual_key_name == "a" && team_id == "" && customer_id != "c" && complexity_tier == "SIMPLE"',
    ],
)
async def test_an_expression_a_gateway_can_evaluate_is_taken(api: TestApi, expression: str) -> None:
    assert (await make_rule(api, cel_expression=expression))["cel_expression"] == expression


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("model ==", "1:9: Syntax error: mismatched input '<EOF>'"),
        ("modle == 'a'", "1:1: undeclared reference to 'modle'"),
        ("model > 1", "1:7: found no matching overload"),
        ("model", "must be true or false, not STRING"),
        ("(" * 40 + "true" + ")" * 40, "Expression recursion limit exceeded"),
        ("1+" * 200 + "1 == 1", "Exceeded max recursion depth of 32"),
    ],
)
async def test_an_expression_that_does_not_compile_is_refused(api: TestApi, expression: str, says: str) -> None:
    status, path, message = await refused(api, cel_expression=expression)
    assert (status, path) == (400, "$.cel_expression")
    assert message.startswith(f"invalid CEL expression: {says}")
    assert "\n" not in message
    made = await make_rule(api)
    assert (await send(api, "PUT", f"{RULES}/{made['id']}", {"cel_expression": expression}))[0] == 400


async def test_a_list_is_in_the_order_of_priority_and_can_be_narrowed(api: TestApi, clock: Clock) -> None:
    for priority, (scope, owner) in enumerate(OWNERS.items()):
        clock.forward(seconds=1)
        await make_rule(api, name=f"of a {scope}", scope=scope, scope_id=owner, priority=-priority)
    await make_rule(api, name="everywhere")

    async def listed(query: str) -> list[str]:
        status, answer = await send(api, "GET", f"{RULES}?{query}")
        assert status == 200
        assert answer["count"] == len(answer["rules"])
        return [rule["name"] for rule in answer["rules"]]

    assert await listed("") == ["of a virtual_key", "of a team", "of a customer", "everywhere"]
    assert await listed("scope=team") == ["of a team"]
    assert await listed("scope=global") == ["everywhere"]
    assert await listed("scope_id=vk") == ["of a virtual_key"]
    assert await listed("scope=team&scope_id=vk") == []
    assert await listed("search=OF+A&limit=1&offset=1") == ["of a team"]
    answer = (await send(api, "GET", f"{RULES}?limit=2&offset=9"))[1]
    assert answer == {"rules": [], "count": 0, "total_count": 4, "limit": 2, "offset": 9}


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("limit=x", "must be a number"),
        ("offset=1.5", "must be a number"),
        ("limit=-1", "must be non-negative"),
        ("offset=-1", "must be non-negative"),
        ("scope=project", "must be one of"),
    ],
)
async def test_a_list_parameter_that_cannot_be_meant_is_refused(api: TestApi, query: str, says: str) -> None:
    for path in PATHS:
        status, answer = await send(api, "GET", f"{path}?{query}")
        assert status == 400
        assert says in answer["error"]["message"]


async def test_every_change_is_in_the_audit_log_values_of_the_query_too(api: TestApi, connection: Connection) -> None:
    made = await make_rule(api, query={"value": 1})
    await put(api, made, query={"value": 2}, priority=4)
    await send(api, "DELETE", f"{RULES}/{made['id']}")
    rows = await connection.fetch("SELECT action, changes::text AS text FROM audit_log ORDER BY id")
    assert [row["action"] for row in rows] == [f"routing_rule.{done}" for done in ("create", "update", "delete")]
    assert json.loads(rows[1]["text"]) == {"query": [{"value": 1}, {"value": 2}], "priority": [0, 4]}


async def test_a_retry_makes_no_second_rule_and_a_stale_edit_is_refused(api: TestApi) -> None:
    first = await api.post(RULES, json=RULE, headers={"Idempotency-Key": "k"})
    again = await api.post(RULES, json=RULE, headers={"Idempotency-Key": "k"})
    assert (await again.json()) == (await first.json())
    made = (await first.json())["rule"]
    read = await api.get(f"{RULES}/{made['id']}")
    assert read.headers["ETag"] == first.headers["ETag"]
    await put(api, made, priority=1)
    stale = {"If-Match": read.headers["ETag"]}
    assert (await api.put(f"{RULES}/{made['id']}", json={"priority": 2}, headers=stale)).status == 412
    assert (await api.delete(f"{RULES}/{made['id']}", headers=stale)).status == 412
