"""Limits of models: made, changed and removed over HTTP; usage stays where the limit stays."""

from typing import Any

import pytest

from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.api.test_customer_changes import send, spend
from tests.conftest import Clock, TestApi
from tests.factories import Factory, meter_of_rate_limit, usage_event
from tests.reading import read_only_customer

MODEL_CONFIGS = "/api/governance/model-configs"
TOKENS_PER_HOUR = {"metric": "tokens", "max_limit": 1000, "reset_duration": "1h"}
TOKENS_PER_DAY = {"metric": "tokens", "max_limit": 9000, "reset_duration": "1d"}
REQUESTS_PER_HOUR = {"metric": "requests", "max_limit": 60, "reset_duration": "1h"}
PAIRED = {"token_max_limit": 500, "token_reset_duration": "1h"}
BUDGET = {"max_limit": 5, "reset_duration": "1d"}


async def created(api: TestApi, **fields: Any) -> Any:
    status, answer = await send(api, "POST", MODEL_CONFIGS, {"model_name": "gpt-4o", **fields})
    assert status == 200, answer
    assert answer["message"] == "Model config created successfully"
    return answer["model_config"]


async def updated(api: TestApi, model_config_id: str, **fields: Any) -> Any:
    status, answer = await send(api, "PUT", f"{MODEL_CONFIGS}/{model_config_id}", fields)
    assert status == 200, answer
    return answer["model_config"]


async def read(api: TestApi, model_config_id: str) -> Any:
    status, answer = await send(api, "GET", f"{MODEL_CONFIGS}/{model_config_id}")
    assert status == 200, answer
    return answer["model_config"]


async def listed(api: TestApi, **query: str) -> Any:
    response = await api.get(MODEL_CONFIGS, params=query)
    assert response.status == 200, await response.text()
    return await response.json()


async def use(connection: Connection, clock: Clock, rate_limit_id: str, metric: str, amount: int) -> None:
    tenant_id, meter = await meter_of_rate_limit(connection, rate_limit_id, metric)
    await record_usage(connection, [usage_event(f"use-{rate_limit_id}", (tenant_id, meter, amount), at=clock())])


def by_rule(model_config: Any) -> dict[tuple[str, str], Any]:
    return {
        (rule["metric"], rule.get("token_reset_duration") or rule["request_reset_duration"]): rule
        for rule in model_config["rate_limits"]
    }


async def test_what_is_created_is_read_back(api: TestApi) -> None:
    made = await created(api, provider="openai", budgets=[BUDGET], rate_limit=PAIRED, calendar_aligned=True)
    assert await read(api, made["id"]) == made
    assert (made["scope"], made["provider"], made["calendar_aligned"]) == ("global", "openai", True)
    assert made["rate_limit"]["id"] == made["rate_limit_id"]
    assert made["rate_limits"] == []
    assert not {"scope_id", "scope_name"} & made.keys()


async def test_rules_are_shown_by_metric_and_window(api: TestApi) -> None:
    made = await created(api, rate_limits=[TOKENS_PER_HOUR, TOKENS_PER_DAY, REQUESTS_PER_HOUR])
    rules = by_rule(made)
    assert rules.keys() == {("tokens", "1h"), ("tokens", "1d"), ("requests", "1h")}
    assert rules["tokens", "1d"]["token_max_limit"] == 9000
    assert rules["requests", "1h"]["request_max_limit"] == 60
    assert "rate_limit" not in made


@pytest.mark.parametrize("provider", [{}, {"provider": None}, {"provider": ""}])
async def test_without_a_provider_every_one_is_meant(api: TestApi, provider: Any) -> None:
    assert (await created(api, **provider))["provider"] is None


async def test_a_virtual_key_has_limits_of_its_own(api: TestApi, make: Factory) -> None:
    key = await make.virtual_key(name="bot")
    made = await created(api, scope="virtual_key", scope_id=key, budgets=[BUDGET])
    assert (made["scope"], made["scope_id"], made["scope_name"]) == ("virtual_key", key, "bot")


async def test_the_tree_shows_limits_of_a_virtual_keys_model(
    api: TestApi, make: Factory, connection: Connection, clock: Clock
) -> None:
    key = await make.virtual_key(customer_id=await make.customer())
    await make.provider_config(virtual_key_id=key, provider="openai")
    before = await read_only_customer(api)
    assert "model_budgets" not in before["virtual_keys"][0]["provider_configs"][0]
    made = await created(api, scope="virtual_key", scope_id=key, provider="openai", budgets=[BUDGET], rate_limit=PAIRED)
    await spend(connection, clock, made["budgets"][0]["id"], 1_500_000_000)
    [shown] = (await read_only_customer(api))["virtual_keys"][0]["provider_configs"][0]["model_budgets"]
    assert (shown["model_name"], shown["budgets"][0]["current_usage"]) == ("gpt-4o", 1.5)
    assert shown["rate_limit"] == made["rate_limit"]
    await send(api, "DELETE", f"{MODEL_CONFIGS}/{made['id']}")
    assert await read_only_customer(api) == before


async def test_every_answer_shows_live_usage(api: TestApi, connection: Connection, clock: Clock) -> None:
    made = await created(api, budgets=[BUDGET], rate_limits=[TOKENS_PER_HOUR, REQUESTS_PER_HOUR])
    rules = by_rule(made)
    await spend(connection, clock, made["budgets"][0]["id"], 2_000_000_000)
    await use(connection, clock, rules["tokens", "1h"]["id"], "token", 70)
    await use(connection, clock, rules["requests", "1h"]["id"], "request", 3)
    for shown in (
        await read(api, made["id"]),
        (await listed(api))["model_configs"][0],
        await updated(api, made["id"], model_name="gpt-5"),
    ):
        assert shown["budgets"][0]["current_usage"] == 2
        assert by_rule(shown)["tokens", "1h"]["token_current_usage"] == 70
        assert by_rule(shown)["requests", "1h"]["request_current_usage"] == 3


async def test_what_is_left_out_of_an_update_stays(api: TestApi) -> None:
    made = await created(api, provider="openai", budgets=[BUDGET], rate_limits=[TOKENS_PER_HOUR])
    changed = await updated(api, made["id"], model_name="gpt-5")
    assert changed["model_name"] == "gpt-5"
    for field in ("provider", "budgets", "rate_limits", "calendar_aligned", "created_at"):
        assert changed[field] == made[field]
    assert (await updated(api, made["id"], provider=None))["provider"] is None


async def test_a_rule_keeps_its_usage_only_with_its_metric_and_window(
    api: TestApi, connection: Connection, clock: Clock
) -> None:
    made = await created(api, rate_limits=[TOKENS_PER_HOUR, REQUESTS_PER_HOUR])
    tokens, requests = by_rule(made)["tokens", "1h"], by_rule(made)["requests", "1h"]
    await use(connection, clock, tokens["id"], "token", 70)
    await use(connection, clock, requests["id"], "request", 3)
    wanted = [TOKENS_PER_HOUR | {"max_limit": 2000}, REQUESTS_PER_HOUR | {"reset_duration": "1d"}]
    rules = by_rule(await updated(api, made["id"], rate_limits=wanted))
    kept, new = rules["tokens", "1h"], rules["requests", "1d"]
    assert (kept["id"], kept["token_max_limit"], kept["token_current_usage"]) == (tokens["id"], 2000, 70)
    assert new["id"] != requests["id"]
    assert new["request_current_usage"] == 0
    assert len(rules) == 2


async def test_the_same_window_in_other_words_keeps_usage(api: TestApi, connection: Connection, clock: Clock) -> None:
    made = await created(api, rate_limits=[TOKENS_PER_DAY])
    await use(connection, clock, made["rate_limits"][0]["id"], "token", 70)
    changed = await updated(api, made["id"], rate_limits=[TOKENS_PER_DAY | {"reset_duration": "daily"}])
    assert changed["rate_limits"][0]["token_reset_duration"] == "daily"
    assert changed["rate_limits"][0]["token_current_usage"] == 70


async def test_rules_and_the_paired_rate_limit_take_each_others_place(api: TestApi) -> None:
    made = await created(api, rate_limit=PAIRED)
    ruled = await updated(api, made["id"], rate_limits=[TOKENS_PER_HOUR])
    assert "rate_limit" not in ruled
    assert by_rule(ruled).keys() == {("tokens", "1h")}
    paired = await updated(api, made["id"], rate_limit=PAIRED)
    assert paired["rate_limit"]["token_max_limit"] == 500
    assert paired["rate_limits"] == []


async def test_no_maximum_removes_the_paired_rate_limit_and_an_empty_list_the_rules(api: TestApi) -> None:
    paired = await created(api, rate_limit=PAIRED)
    empty = {"token_max_limit": None, "request_max_limit": None, "token_reset_duration": "1h"}
    assert "rate_limit" not in await updated(api, paired["id"], rate_limit=empty)
    ruled = await created(api, model_name="other", rate_limits=[TOKENS_PER_HOUR], budgets=[BUDGET])
    emptied = await updated(api, ruled["id"], rate_limits=[], budgets=[])
    assert (emptied["rate_limits"], emptied["budgets"]) == ([], [])


async def test_another_calendar_keeps_usage_of_budgets_and_rules(
    api: TestApi, connection: Connection, clock: Clock
) -> None:
    made = await created(api, budgets=[BUDGET], rate_limits=[TOKENS_PER_DAY])
    await spend(connection, clock, made["budgets"][0]["id"], 2_000_000_000)
    await use(connection, clock, made["rate_limits"][0]["id"], "token", 70)
    changed = await updated(api, made["id"], calendar_aligned=True, time_zone="Asia/Tokyo")
    assert changed["budgets"][0]["current_usage"] == 2
    assert changed["rate_limits"][0]["token_current_usage"] == 70
    assert changed["budgets"][0]["last_reset"].endswith("T15:00:00Z")


async def test_a_reset_starts_only_budgets_at_zero(api: TestApi, connection: Connection, clock: Clock) -> None:
    made = await created(api, budgets=[BUDGET], rate_limits=[TOKENS_PER_DAY])
    await spend(connection, clock, made["budgets"][0]["id"], 2_000_000_000)
    await use(connection, clock, made["rate_limits"][0]["id"], "token", 70)
    changed = await updated(api, made["id"], reset_budget_usage=True)
    assert changed["budgets"][0]["current_usage"] == 0
    assert changed["budgets"][0]["last_reset"] == made["budgets"][0]["last_reset"]
    assert changed["rate_limits"][0]["token_current_usage"] == 70


async def test_the_scope_is_for_good(api: TestApi, make: Factory) -> None:
    key, other = await make.virtual_key(), await make.virtual_key()
    made = await created(api, scope="virtual_key", scope_id=key)
    path = f"{MODEL_CONFIGS}/{made['id']}"
    assert (await updated(api, made["id"], scope="virtual_key", scope_id=key))["scope_id"] == key
    for body, where in (({"scope": "global"}, "$.scope"), ({"scope_id": other}, "$.scope_id")):
        status, answer = await send(api, "PUT", path, body)
        assert (status, answer["error"]["path"]) == (400, where)
    assert await read(api, made["id"]) | {"updated_at": ""} == made | {"updated_at": ""}


async def test_a_scope_model_and_provider_is_taken_once(api: TestApi, make: Factory) -> None:
    key = await make.virtual_key()
    made = await created(api)
    await created(api, provider="openai")
    await created(api, scope="virtual_key", scope_id=key)
    for body in ({}, {"provider": ""}, {"provider": "openai"}, {"scope": "virtual_key", "scope_id": key}):
        assert (await send(api, "POST", MODEL_CONFIGS, {"model_name": "gpt-4o", **body}))[0] == 409, body
    assert (await send(api, "PUT", f"{MODEL_CONFIGS}/{made['id']}", {"provider": "openai"}))[0] == 409


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ({}, 400, "$.model_name"),
        ({"model_name": ""}, 400, "$.model_name"),
        ({"model_name": "m", "provider": "a\u0000"}, 400, "$.provider"),
        ({"model_name": "m", "scope": "planet"}, 400, "$.scope"),
        ({"model_name": "m", "scope": "user", "scope_id": "u"}, 403, "$.scope"),
        ({"model_name": "m", "scope": "virtual_key"}, 400, "$.scope_id"),
        ({"model_name": "m", "scope": "virtual_key", "scope_id": ""}, 400, "$.scope_id"),
        ({"model_name": "m", "scope": "virtual_key", "scope_id": "nobody"}, 400, "$.scope_id"),
        ({"model_name": "m", "time_zone": "Mars/Olympus"}, 400, "$.time_zone"),
        ({"model_name": "m", "budgets": [BUDGET | {"max_limit": 0}]}, 400, "$.budgets[0].max_limit"),
        ({"model_name": "m", "budgets": [BUDGET], "budget": BUDGET}, 400, "$.budget"),
        ({"model_name": "m", "rate_limit": PAIRED, "rate_limits": []}, 400, "$.rate_limits"),
        ({"model_name": "m", "rate_limit": {"token_max_limit": 1}}, 400, "$.rate_limit.token_reset_duration"),
        ({"model_name": "m", "rate_limits": [TOKENS_PER_HOUR] * 2}, 400, "$.rate_limits[1].reset_duration"),
        (
            {"model_name": "m", "rate_limits": [TOKENS_PER_HOUR, TOKENS_PER_HOUR | {"reset_duration": "60m"}]},
            400,
            "$.rate_limits[1].reset_duration",
        ),
        (
            {"model_name": "m", "rate_limits": [TOKENS_PER_HOUR | {"reset_duration": "1Q"}]},
            400,
            "$.rate_limits[0].reset_duration",
        ),
        (
            {"model_name": "m", "rate_limits": [TOKENS_PER_HOUR | {"reset_duration": "soon"}]},
            400,
            "$.rate_limits[0].reset_duration",
        ),
        ({"model_name": "m", "rate_limits": [TOKENS_PER_HOUR | {"metric": "cost"}]}, 400, "$.rate_limits[0].metric"),
        ({"model_name": "m", "rate_limits": [TOKENS_PER_HOUR | {"max_limit": 0}]}, 400, "$.rate_limits[0].max_limit"),
    ],
)
async def test_a_fault_is_named_by_its_path_and_nothing_is_written(
    api: TestApi, connection: Connection, body: Any, status: int, path: str
) -> None:
    answered, answer = await send(api, "POST", MODEL_CONFIGS, body)
    assert (answered, answer["error"].get("path")) == (status, path), answer
    assert await connection.fetchval("SELECT count(*) FROM model_configs") == 0
    assert await connection.fetchval("SELECT count(*) FROM audit_log") == 0


async def test_what_is_not_there_is_not_found(api: TestApi) -> None:
    for method, body in (("GET", None), ("PUT", {}), ("DELETE", None)):
        status, answer = await send(api, method, f"{MODEL_CONFIGS}/nothing", body)
        assert (status, answer["error"]["message"]) == (404, "Model config not found")


async def test_a_deleted_model_config_takes_its_limits_along(api: TestApi, connection: Connection) -> None:
    made = await created(api, budgets=[BUDGET], rate_limits=[TOKENS_PER_HOUR])
    assert (await send(api, "DELETE", f"{MODEL_CONFIGS}/{made['id']}"))[0] == 200
    assert (await send(api, "GET", f"{MODEL_CONFIGS}/{made['id']}"))[0] == 404
    assert await connection.fetchval("SELECT count(*) FROM budgets") == 0
    assert await connection.fetchval("SELECT count(*) FROM rate_limits") == 0


async def test_an_update_meant_for_an_older_state_is_refused(api: TestApi) -> None:
    made = await created(api)
    path = f"{MODEL_CONFIGS}/{made['id']}"
    etag = (await api.get(path)).headers["ETag"]
    assert (await send(api, "PUT", path, {"model_name": "a"}, **{"If-Match": etag}))[0] == 200
    assert (await send(api, "PUT", path, {"model_name": "b"}, **{"If-Match": etag}))[0] == 412


async def test_the_list_is_narrowed_by_each_filter(api: TestApi, make: Factory, clock: Clock) -> None:
    key = await make.virtual_key()
    ids = {}
    for name, fields in (
        ("any", {}),
        ("openai", {"provider": "openai"}),
        ("key", {"model_name": "o3", "scope": "virtual_key", "scope_id": key}),
    ):
        ids[name] = (await created(api, **fields))["id"]
        clock.forward(seconds=1)
    for query, expected in (
        ({}, ["any", "openai", "key"]),
        ({"from_memory": "true"}, ["any", "openai", "key"]),
        ({"search": "GPT"}, ["any", "openai"]),
        ({"scope": "global"}, ["any", "openai"]),
        ({"scope": "virtual_key"}, ["key"]),
        ({"scope": "global, virtual_key"}, ["any", "openai", "key"]),
        ({"scope": "project"}, []),
        ({"scope_id": key}, ["key"]),
        ({"provider": "openai"}, ["openai"]),
        ({"limit": "1", "offset": "1"}, ["openai"]),
        ({"limit": "5", "offset": "9"}, []),
    ):
        page = await listed(api, **query)
        assert [one["id"] for one in page["model_configs"]] == [ids[name] for name in expected], query
        assert page["count"] == len(expected)
    assert (await listed(api, limit="1"))["total_count"] == 3
    assert (await listed(api, limit="5", offset="9"))["total_count"] == 3
    everything = await listed(api)
    assert (everything["limit"], everything["offset"], everything["total_count"]) == (3, 0, 3)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"limit": "many"}, "must be a number"),
        ({"offset": "1.5"}, "must be a number"),
        ({"limit": "-1"}, "must be non-negative"),
        ({"offset": "-1"}, "must be non-negative"),
        ({"scope": "global,planet"}, "scope"),
        ({"from_memory": "maybe"}, "from_memory"),
    ],
)
async def test_a_query_that_cannot_be_meant_is_refused(api: TestApi, query: dict[str, str], message: str) -> None:
    response = await api.get(MODEL_CONFIGS, params=query)
    assert response.status == 400
    assert message in (await response.json())["error"]["message"]


async def test_every_change_is_in_the_audit_log(api: TestApi, connection: Connection) -> None:
    made = await created(api, rate_limits=[TOKENS_PER_HOUR])
    await updated(api, made["id"], model_name="gpt-5", rate_limits=[])
    await send(api, "DELETE", f"{MODEL_CONFIGS}/{made['id']}")
    rows = await connection.fetch("SELECT *, changes::text AS text FROM audit_log ORDER BY id")
    assert [row["action"] for row in rows] == ["model_config.create", "model_config.update", "model_config.delete"]
    assert {(row["entity_id"], row["tenant_id"]) for row in rows} == {(made["id"], "global")}
    assert '"model_name": ["gpt-4o", "gpt-5"]' in rows[1]["text"]
    assert '"rate_limits"' in rows[1]["text"]
