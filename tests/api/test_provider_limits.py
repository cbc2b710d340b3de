"""Limits of whole providers: there while any limit is, made and removed by setting them."""

import asyncio
from typing import Any

import pytest

from service.store.postgres import Connection
from tests.api.test_customer_changes import send, spend
from tests.conftest import Clock, TestApi
from tests.factories import Factory

PROVIDERS = "/api/governance/providers"
BUDGET = {"max_limit": 5, "reset_duration": "1d"}
PAIRED = {"request_max_limit": 60, "request_reset_duration": "1m"}


async def put(api: TestApi, provider: str, **fields: Any) -> Any:
    status, answer = await send(api, "PUT", f"{PROVIDERS}/{provider}", fields)
    assert status == 200, answer
    assert answer["message"] == "Provider governance updated successfully"
    return answer["provider"]


async def listed(api: TestApi) -> Any:
    status, answer = await send(api, "GET", f"{PROVIDERS}?from_memory=true")
    assert status == 200, answer
    return answer


async def test_without_limits_the_list_is_null(api: TestApi) -> None:
    assert await listed(api) == {"providers": None, "count": 0}


async def test_what_is_set_is_listed_by_name(api: TestApi) -> None:
    openai = await put(api, "openai", budgets=[BUDGET, {"max_limit": 50, "reset_duration": "1M"}], rate_limit=PAIRED)
    anthropic = await put(api, "anthropic", budget=BUDGET, calendar_aligned=True)
    assert await listed(api) == {"providers": [anthropic, openai], "count": 2}
    assert openai["budget"] == openai["budgets"][0]
    assert openai.keys() == {"provider", "budget", "budgets", "rate_limit", "calendar_aligned"}
    assert (openai["rate_limit"]["request_max_limit"], openai["calendar_aligned"]) == (60, False)
    assert (anthropic["provider"], anthropic["calendar_aligned"]) == ("anthropic", True)


async def test_they_are_the_deployment_wide_limits_of_every_model(api: TestApi, make: Factory) -> None:
    set_ = await put(api, "openai", budget=BUDGET)
    _, answer = await send(api, "GET", "/api/governance/model-configs")
    [config] = answer["model_configs"]
    assert (config["model_name"], config["provider"], config["scope"]) == ("*", "openai", "global")
    assert config["budgets"] == set_["budgets"]
    await make.model_config(model_name="*", provider="openai", virtual_key_id=await make.virtual_key())
    await make.model_config(model_name="*")
    await make.model_config(model_name="gpt-4o", provider="third")
    assert (await listed(api))["count"] == 1


async def test_an_update_keeps_usage_and_what_is_left_out(api: TestApi, connection: Connection, clock: Clock) -> None:
    before = await put(api, "openai", budget=BUDGET, rate_limit=PAIRED)
    await spend(connection, clock, before["budget"]["id"], 2_000_000_000)
    after = await put(api, "openai", budget={"max_limit": 6}, calendar_aligned=True)
    assert (after["budget"]["id"], after["budget"]["max_limit"]) == (before["budget"]["id"], 6)
    assert after["budget"]["current_usage"] == 2
    assert after["rate_limit"]["request_max_limit"] == 60
    assert (await listed(api))["providers"][0]["budget"]["current_usage"] == 2
    reset = await put(api, "openai", reset_budget_usage=True)
    assert reset["budget"]["current_usage"] == 0


@pytest.mark.parametrize("nothing", [{"budgets": [], "rate_limit": {}}, {"budget": {}, "rate_limit": {}}])
async def test_an_update_that_leaves_no_limit_removes_them(
    api: TestApi, connection: Connection, nothing: dict[str, Any]
) -> None:
    await put(api, "openai", budget=BUDGET, rate_limit=PAIRED, calendar_aligned=True)
    assert await put(api, "openai", **nothing) == {"provider": "openai", "budgets": [], "calendar_aligned": False}
    assert await connection.fetchval("SELECT count(*) FROM model_configs") == 0
    assert (await listed(api))["providers"] is None


async def test_one_limit_that_is_left_keeps_the_provider(api: TestApi) -> None:
    await put(api, "openai", budget=BUDGET, rate_limit=PAIRED)
    assert "rate_limit" in await put(api, "openai", budgets=[])
    assert (await listed(api))["count"] == 1


async def test_setting_no_limit_where_there_is_none_writes_nothing(api: TestApi, connection: Connection) -> None:
    assert await put(api, "openai", calendar_aligned=True) == {
        "provider": "openai",
        "budgets": [],
        "calendar_aligned": False,
    }
    assert await connection.fetchval("SELECT count(*) FROM model_configs") == 0
    assert await connection.fetchval("SELECT count(*) FROM audit_log") == 0


async def test_removing_is_done_as_often_as_it_is_asked_for(api: TestApi) -> None:
    await put(api, "openai", budget=BUDGET)
    for _ in range(2):
        assert (await send(api, "DELETE", f"{PROVIDERS}/openai"))[0] == 200
    assert (await listed(api))["providers"] is None


async def test_rules_of_one_metric_are_shown_and_make_way_for_a_paired_rate_limit(api: TestApi) -> None:
    rule = {"metric": "tokens", "max_limit": 9, "reset_duration": "1h"}
    body = {"model_name": "*", "provider": "openai", "rate_limits": [rule]}
    assert (await send(api, "POST", "/api/governance/model-configs", body))[0] == 200
    [shown] = (await listed(api))["providers"]
    assert shown["rate_limits"][0]["token_max_limit"] == 9
    assert "rate_limits" in await put(api, "openai", budgets=[])
    assert "rate_limits" not in await put(api, "openai", rate_limit=PAIRED)


async def test_two_first_settings_at_once_both_count(api: TestApi, connection: Connection) -> None:
    bodies = [{"budget": BUDGET}, {"rate_limit": PAIRED}]
    answers = await asyncio.gather(*(send(api, "PUT", f"{PROVIDERS}/openai", body) for body in bodies))
    assert [status for status, _ in answers] == [200, 200]
    [shown] = (await listed(api))["providers"]
    assert {"budget", "rate_limit"} <= shown.keys()
    assert await connection.fetchval("SELECT count(*) FROM model_configs") == 1


async def test_an_update_meant_for_an_older_state_is_refused(api: TestApi) -> None:
    first = await api.put(f"{PROVIDERS}/openai", json={"budget": BUDGET})
    tag = {"If-Match": first.headers["ETag"]}
    assert (await send(api, "PUT", f"{PROVIDERS}/openai", {"budget": {"max_limit": 6}}, **tag))[0] == 200
    for provider in ("openai", "never-set"):
        assert (await send(api, "PUT", f"{PROVIDERS}/{provider}", {"budget": BUDGET}, **tag))[0] == 412
    assert (await send(api, "DELETE", f"{PROVIDERS}/openai", **tag))[0] == 412


@pytest.mark.parametrize(
    ("provider", "body", "path"),
    [
        ("openai", {"budget": BUDGET, "budgets": [BUDGET]}, "$.budget"),
        ("openai", {"budget": {"max_limit": 5}}, "$.budget"),
        ("openai", {"rate_limit": {"token_max_limit": 5}}, "$.rate_limit.token_reset_duration"),
        ("openai", {"budget": BUDGET, "time_zone": "Mars/Olympus"}, "$.time_zone"),
        ("a%E2%80%AEb", {"budget": BUDGET}, None),
        ("a%0Ab", {"budget": BUDGET}, None),
        ("%FF", {"budget": BUDGET}, None),
    ],
)
async def test_a_fault_is_named_and_nothing_is_written(
    api: TestApi, connection: Connection, provider: str, body: Any, path: str | None
) -> None:
    status, answer = await send(api, "PUT", f"{PROVIDERS}/{provider}", body)
    assert (status, answer["error"].get("path")) == (400, path), answer
    assert await connection.fetchval("SELECT count(*) FROM model_configs") == 0


async def test_every_change_is_in_the_audit_log(api: TestApi, connection: Connection) -> None:
    await put(api, "openai", budget=BUDGET)
    await put(api, "openai", budget={"max_limit": 6})
    await put(api, "openai", budgets=[])
    await put(api, "openai", budget=BUDGET)
    await send(api, "DELETE", f"{PROVIDERS}/openai")
    await send(api, "DELETE", f"{PROVIDERS}/openai")
    rows = await connection.fetch("SELECT action, entity_id, tenant_id FROM audit_log ORDER BY id")
    verbs = ["create", "update", "delete", "create", "delete"]
    assert [row["action"] for row in rows] == [f"provider.{verb}" for verb in verbs]
    assert {(row["entity_id"], row["tenant_id"]) for row in rows} == {("openai", "global")}
