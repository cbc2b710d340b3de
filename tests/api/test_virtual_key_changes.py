"""Virtual keys are made, changed, moved and removed over HTTP, with all they may use."""

from datetime import timedelta
from typing import Any

import pytest

from service.domain.sealing import Sealer
from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.api.calls import API, VIRTUAL_KEYS, make_entity, read_entity, send
from tests.conftest import Clock, TestApi
from tests.factories import Factory, meter_of_budget, usage_event

DAILY = {"max_limit": 5, "reset_duration": "1d"}
MONTHLY = {"max_limit": 50, "reset_duration": "1M"}
OPENAI: dict[str, Any] = {
    "provider": "openai",
    "weight": 0.7,
    "allowed_models": ["*"],
    "blacklisted_models": ["o1", "regex:gpt-3.*"],
    "key_ids": ["*"],
    "budgets": [MONTHLY],
    "rate_limit": {"request_max_limit": 60, "request_reset_duration": "1m"},
    "model_budgets": [{"model_name": "gpt-4o", "budgets": [DAILY]}],
}


async def spend(connection: Connection, clock: Clock, budget_id: str, amount_nanousd: int) -> None:
    tenant_id, meter = await meter_of_budget(connection, budget_id)
    event = usage_event(f"spend-{budget_id}", (tenant_id, meter, amount_nanousd), at=clock())
    await record_usage(connection, [event])


async def test_a_created_key_is_read_back_whole(api: TestApi, make: Factory, clock: Clock) -> None:
    await make.mcp_client(id=4, name="github")
    team = await make_entity(api, "teams", name="research")
    expires_at = (clock() + timedelta(days=1)).isoformat()
    made = await make_entity(
        api,
        "virtual-keys",
        name="ci-bot",
        description="CI",
        team_id=team["id"],
        expires_at=expires_at,
        calendar_aligned=True,
        budgets=[DAILY, MONTHLY],
        rate_limit={"token_max_limit": 1000, "token_reset_duration": "1h"},
        provider_configs=[OPENAI],
        mcp_configs=[{"mcp_client_name": "github", "tools_to_execute": ["*"]}],
        metadata={"env": "prod"},
    )
    assert made == await read_entity(api, "virtual-keys", made["id"])
    assert made["team"] == {"id": team["id"], "name": "research"}
    assert (made["is_active"], made["calendar_aligned"], made["metadata"]) == (True, True, {"env": "prod"})
    config = made["provider_configs"][0]
    assert isinstance(config["id"], int)
    assert (config["allow_all_keys"], config["weight"], config["keys"]) == (True, 0.7, [])
    assert config["budgets"][0]["max_limit"] == 50
    assert config["model_budgets"][0]["model_name"] == "gpt-4o"
    assert config["model_budgets"][0]["budgets"][0]["max_limit"] == 5
    assert made["mcp_configs"][0]["mcp_client_id"] == 4


async def test_a_value_is_random_sealed_and_looked_up_by_a_keyed_hash(
    api: TestApi, connection: Connection, sealer: Sealer
) -> None:
    values = {(await make_entity(api, "virtual-keys", name=f"k{number}"))["value"] for number in range(3)}
    assert len(values) == 3
    for value in values:
        assert value.startswith("sk-bf-")
        assert len(value) >= len("sk-bf-") + 22  # 128 bits in base64
        found = await connection.fetchval(
            "SELECT name FROM virtual_keys WHERE value_hash = $1", sealer.hash_virtual_key(value)
        )
        assert found is not None
    dump = await connection.fetchval("SELECT string_agg(k::text, '') FROM virtual_keys AS k")
    assert not any(value in dump or value.encode().hex() in dump for value in values)


async def test_what_is_left_out_of_an_update_stays(api: TestApi) -> None:
    made = await make_entity(
        api, "virtual-keys", name="k", budgets=[DAILY], provider_configs=[OPENAI], metadata={"a": "b"}, is_active=False
    )
    _, answer = await send(api, "PUT", f"{VIRTUAL_KEYS}/{made['id']}", {"description": "new"})
    changed = answer["virtual_key"]
    assert changed | {"description": "", "updated_at": made["updated_at"]} == made


async def test_null_and_empty_detach_and_setting_one_owner_clears_the_other(api: TestApi) -> None:
    team = await make_entity(api, "teams", name="t")
    customer = await make_entity(api, "customers", name="c")
    made = await make_entity(api, "virtual-keys", name="k", team_id=team["id"])
    path = f"{VIRTUAL_KEYS}/{made['id']}"

    async def owners_after(body: dict[str, Any]) -> tuple[str | None, str | None]:
        status, answer = await send(api, "PUT", path, body)
        assert status == 200, answer
        return answer["virtual_key"].get("team_id"), answer["virtual_key"].get("customer_id")

    assert await owners_after({"customer_id": customer["id"]}) == (None, customer["id"])
    assert await owners_after({"customer_id": "", "team_id": team["id"]}) == (team["id"], None)
    assert await owners_after({"customer_id": ""}) == (team["id"], None)
    assert await owners_after({"team_id": None}) == (None, None)
    status, answer = await send(api, "PUT", path, {"team_id": team["id"], "customer_id": customer["id"]})
    assert (status, answer["error"]["path"]) == (400, "$.customer_id")


async def test_expiry_is_kept_cleared_or_set(api: TestApi, clock: Clock) -> None:
    tomorrow = (clock() + timedelta(days=1)).isoformat()
    made = await make_entity(api, "virtual-keys", name="k", expires_at=tomorrow)
    path = f"{VIRTUAL_KEYS}/{made['id']}"
    assert "expires_at" in (await send(api, "PUT", path, {"name": "k2"}))[1]["virtual_key"]
    assert "expires_at" not in (await send(api, "PUT", path, {"expires_at": ""}))[1]["virtual_key"]
    yesterday = (clock() - timedelta(days=1)).isoformat()
    status, answer = await send(api, "PUT", path, {"expires_at": yesterday})
    assert (status, answer["error"]["path"]) == (400, "$.expires_at")


async def test_provider_configs_are_a_full_set_whose_usage_stays(
    api: TestApi, connection: Connection, clock: Clock
) -> None:
    anthropic = {"provider": "anthropic", "allowed_models": ["*"], "budgets": [DAILY]}
    made = await make_entity(api, "virtual-keys", name="k", provider_configs=[OPENAI, anthropic])
    openai, other = made["provider_configs"]
    await spend(connection, clock, openai["budgets"][0]["id"], 3_000_000_000)
    wanted = [
        {"id": openai["id"], "provider": "openai", "allowed_models": ["gpt-4o"]},
        {"provider": "bedrock", "allowed_models": []},
    ]
    _, answer = await send(api, "PUT", f"{VIRTUAL_KEYS}/{made['id']}", {"provider_configs": wanted})
    kept, new = answer["virtual_key"]["provider_configs"]
    assert (kept["id"], kept["allowed_models"], kept["budgets"][0]["current_usage"]) == (openai["id"], ["gpt-4o"], 3)
    assert kept["model_budgets"] == openai["model_budgets"]
    assert (new["provider"], new["budgets"]) == ("bedrock", [])
    # Without its id a config is written anew: what it does not name is gone, what it does keeps its usage.
    wanted = [{"provider": "openai", "budgets": [MONTHLY]}]
    _, answer = await send(api, "PUT", f"{VIRTUAL_KEYS}/{made['id']}", {"provider_configs": wanted})
    (anew,) = answer["virtual_key"]["provider_configs"]
    assert (anew["budgets"][0]["current_usage"], "rate_limit" in anew) == (3, False)
    foreign = {"provider_configs": [{"id": other["id"], "provider": "anthropic"}]}
    status, answer = await send(api, "PUT", f"{VIRTUAL_KEYS}/{made['id']}", foreign)
    assert (status, answer["error"]["path"]) == (400, "$.provider_configs[0].id")


async def test_a_config_is_pinned_to_the_keys_it_names(api: TestApi, make: Factory) -> None:
    for name in ("a", "b"):
        await make.provider_key(id=name, name=name)
    made = await make_entity(api, "virtual-keys", name="k", provider_configs=[OPENAI | {"key_ids": ["a", "b"]}])
    assert [key["id"] for key in made["provider_configs"][0]["keys"]] == ["a", "b"]
    config = {"id": made["provider_configs"][0]["id"], "provider": "openai", "key_ids": ["b"]}
    _, answer = await send(api, "PUT", f"{VIRTUAL_KEYS}/{made['id']}", {"provider_configs": [config]})
    assert [key["id"] for key in answer["virtual_key"]["keys"]] == ["b"]
    body = {"provider_configs": [config | {"key_ids": ["b", "no"]}]}
    status, answer = await send(api, "PUT", f"{VIRTUAL_KEYS}/{made['id']}", body)
    assert (status, answer["error"]["path"]) == (400, "$.provider_configs[0].key_ids")


async def test_a_moved_key_takes_its_usage_along_at_once(api: TestApi, connection: Connection, clock: Clock) -> None:
    here, there = [await make_entity(api, "customers", name=name) for name in ("here", "there")]
    team = await make_entity(api, "teams", name="t", customer_id=here["id"])
    made = await make_entity(api, "virtual-keys", name="k", team_id=team["id"], budgets=[DAILY])
    await read_entity(api, "customers", here["id"])
    await spend(connection, clock, made["budget_id"], 2_000_000_000)

    async def shown_in(customer_id: str) -> list[float]:
        tree = await read_entity(api, "customers", customer_id)
        keys = [key for owner in (tree, *tree["teams"]) for key in owner["virtual_keys"]]
        return [key["budget"]["current_usage"] for key in keys]

    await send(api, "PUT", f"{API}/teams/{team['id']}", {"customer_id": there["id"]})
    assert (await shown_in(here["id"]), await shown_in(there["id"])) == ([], [2])
    await send(api, "PUT", f"{VIRTUAL_KEYS}/{made['id']}", {"customer_id": here["id"]})
    assert (await shown_in(here["id"]), await shown_in(there["id"])) == ([2], [])


async def test_another_calendar_keeps_the_usage_of_everything_the_key_has(
    api: TestApi, connection: Connection, clock: Clock
) -> None:
    made = await make_entity(api, "virtual-keys", name="k", budgets=[DAILY], provider_configs=[OPENAI])
    config = made["provider_configs"][0]
    budgets = [made["budget"], config["budgets"][0], config["model_budgets"][0]["budgets"][0]]
    for budget in budgets:
        await spend(connection, clock, budget["id"], 1_000_000_000)
    _, answer = await send(api, "PUT", f"{VIRTUAL_KEYS}/{made['id']}", {"calendar_aligned": True})
    changed = answer["virtual_key"]
    config = changed["provider_configs"][0]
    after = [changed["budget"], config["budgets"][0], config["model_budgets"][0]["budgets"][0]]
    assert [budget["current_usage"] for budget in after] == [1, 1, 1]
    _, answer = await send(api, "PUT", f"{VIRTUAL_KEYS}/{made['id']}", {"reset_budget_usage": True})
    assert answer["virtual_key"]["budget"]["current_usage"] == 0
    assert answer["virtual_key"]["provider_configs"][0]["budgets"][0]["current_usage"] == 0


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"budget": 5}, "$.budget"),
        ({"team_id": "no"}, "$.team_id"),
        ({"customer_id": "no"}, "$.customer_id"),
        ({"expires_at": "tomorrow"}, "$.expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "$.expires_at"),
        ({"metadata": {"bad key": "x"}}, "$.metadata"),
        ({"metadata": {"isAsyncRequest": "x"}}, "$.metadata.isAsyncRequest"),
        ({"metadata": {f"k{n}": "x" for n in range(51)}}, "$.metadata"),
        ({"provider_configs": [{"allowed_models": []}]}, "$.provider_configs[0].provider"),
        ({"provider_configs": [{"provider": "a"}, {"provider": "a"}]}, "$.provider_configs[1].provider"),
        (
            {"provider_configs": [{"provider": "a", "allowed_models": ["*", "b"]}]},
            "$.provider_configs[0].allowed_models[0]",
        ),
        (
            {"provider_configs": [{"provider": "a", "allowed_models": ["B", "b"]}]},
            "$.provider_configs[0].allowed_models[1]",
        ),
        (
            {"provider_configs": [{"provider": "a", "blacklisted_models": ["regex:("]}]},
            "$.provider_configs[0].blacklisted_models[0]",
        ),
        ({"provider_configs": [{"provider": "a", "weight": -1}]}, "$.provider_configs[0].weight"),
        (
            {"provider_configs": [{"provider": "a", "budgets": [{"max_limit": 0, "reset_duration": "1d"}]}]},
            "$.provider_configs[0].budgets[0].max_limit",
        ),
        ({"mcp_configs": [{"mcp_client_name": "no"}]}, "$.mcp_configs[0].mcp_client_name"),
    ],
)
async def test_a_fault_is_named_by_its_path_and_nothing_is_written(
    api: TestApi, connection: Connection, body: dict[str, Any], path: str
) -> None:
    status, answer = await send(api, "POST", VIRTUAL_KEYS, {"name": "k", **body})
    assert (status, answer["error"]["path"]) == (400, path), answer
    assert await connection.fetchval("SELECT count(*) FROM virtual_keys") == 0


async def test_a_budget_may_be_raised_for_a_time(api: TestApi, connection: Connection, clock: Clock) -> None:
    made = await make_entity(api, "virtual-keys", name="k", budgets=[DAILY])
    path = f"{VIRTUAL_KEYS}/{made['id']}/budgets/{made['budget_id']}/override"
    status, answer = await send(api, "PUT", path, {"amount": 2.5, "mode": "cycles", "cycles": 2})
    assert (status, answer["effective_max_limit"]) == (200, 7.5)
    assert (answer["budget"]["override_cycles_remaining"], answer["budget"]["max_limit"]) == (2, 5)
    clock.forward(days=1)
    assert (await read_entity(api, "virtual-keys", made["id"]))["budget"]["override_cycles_remaining"] == 1
    status, answer = await send(api, "DELETE", path)
    assert (status, answer["effective_max_limit"]) == (200, 5)
    assert "override_mode" not in answer["budget"]
    for bad in ({"amount": 1, "mode": "cycles"}, {"amount": 1, "mode": "forever", "cycles": 1}):
        assert (await send(api, "PUT", path, bad))[0] == 400
    assert (await send(api, "PUT", path.replace(made["budget_id"], "no"), {"amount": 1, "mode": "forever"}))[0] == 404
    actions = [row["action"] for row in await connection.fetch("SELECT action FROM audit_log ORDER BY id")]
    assert actions == ["virtual_key.create", "virtual_key.override", "virtual_key.override"]
