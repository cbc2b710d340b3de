"""Shadow mode and alert thresholds: set on every kind of limit, kept when left out, and never a new epoch."""

from typing import Any

import pytest

from service.domain.inputs.limits import DEFAULT_ALERT_THRESHOLDS
from service.store.postgres import Connection
from tests.api.calls import API, send
from tests.api.test_customer_changes import spend
from tests.conftest import Clock, TestApi
from tests.governance.config_files import Files
from tests.reading import CUSTOMERS

BUDGET = {"max_limit": 5, "reset_duration": "1d"}
RATE = {"token_max_limit": 1000, "token_reset_duration": "1d"}
SHADOWED = {"budgets": [BUDGET | {"shadow": True, "alert_thresholds": [90]}], "rate_limit": RATE | {"shadow": True}}
RULE = {"metric": "tokens", "max_limit": 5, "reset_duration": "1d"}
CONFIG = {"provider": "openai", "allowed_models": ["*"], "key_ids": ["*"]}
EPOCHS = """
    SELECT (SELECT array_agg(epoch) FROM budgets) || (SELECT array_agg(token_epoch + request_epoch) FROM rate_limits)
"""


async def put(api: TestApi, path: str, body: Any) -> Any:
    """The entity as it is after the change."""
    status, answer = await send(api, "PUT", f"{API}/{path}", body)
    assert status == 200, answer
    return next(value for name, value in answer.items() if name != "message")


async def post(api: TestApi, kind: str, body: Any) -> Any:
    status, answer = await send(api, "POST", f"{API}/{kind}", body)
    assert status == 200, answer
    return next(value for name, value in answer.items() if name != "message")


def shadows(limited: Any) -> list[bool]:
    return [limit["shadow"] for limit in (*limited["budgets"], limited["rate_limit"])]


@pytest.mark.parametrize("kind", ["customers", "teams", "virtual-keys", "model-configs"])
async def test_every_owner_s_limits_can_be_shadowed_and_told_of(api: TestApi, kind: str) -> None:
    name = {"model_name": "gpt-4o"} if kind == "model-configs" else {"name": "Acme"}
    made = await post(api, kind, name | SHADOWED)
    assert shadows(made) == [True, True]
    assert made["budgets"][0]["alert_thresholds"] == [90]


async def test_provider_limits_can_be_shadowed(api: TestApi) -> None:
    made = await put(api, "providers/openai", SHADOWED)
    assert shadows(made) == [True, True]
    assert made["budgets"][0]["alert_thresholds"] == [90]


async def test_the_limits_of_provider_configs_and_their_models_can_be_shadowed(api: TestApi) -> None:
    models = [{"model_name": "gpt-4o", **SHADOWED}]
    made = await post(
        api, "virtual-keys", {"name": "k", "provider_configs": [CONFIG | SHADOWED | {"model_budgets": models}]}
    )
    (config,) = made["provider_configs"]
    assert shadows(config) == [True, True]
    assert shadows(config["model_budgets"][0]) == [True, True]
    again = await put(api, f"virtual-keys/{made['id']}", {"provider_configs": [CONFIG | {"id": config["id"]}]})
    assert shadows(again["provider_configs"][0]) == [True, True]


async def test_rules_of_one_metric_are_shadowed_one_by_one(api: TestApi) -> None:
    requests = RULE | {"metric": "requests"}
    made = await post(api, "model-configs", {"model_name": "o1", "rate_limits": [RULE | {"shadow": True}, requests]})
    by_metric = {rule["metric"]: rule["shadow"] for rule in made["rate_limits"]}
    assert by_metric == {"tokens": True, "requests": False}
    again = await put(api, f"model-configs/{made['id']}", {"rate_limits": [RULE, requests | {"shadow": True}]})
    assert {rule["shadow"] for rule in again["rate_limits"]} == {True}


async def test_a_new_limit_refuses_and_tells_of_the_usual_thresholds(api: TestApi, connection: Connection) -> None:
    made = await post(api, "customers", {"name": "Acme", "budgets": [BUDGET], "rate_limit": RATE})
    assert shadows(made) == [False, False]
    assert made["budgets"][0]["alert_thresholds"] == list(DEFAULT_ALERT_THRESHOLDS)
    await connection.execute(
        "INSERT INTO budgets (id, customer_id, max_limit_nanousd, reset_duration) VALUES ('psql', $1, 1, '1d')",
        made["id"],
    )
    stored = await connection.fetchval("SELECT alert_thresholds FROM budgets WHERE id = 'psql'")
    assert tuple(stored) == DEFAULT_ALERT_THRESHOLDS


@pytest.mark.parametrize("left_out", [{}, {"shadow": None}, {"alert_thresholds": None}])
async def test_what_is_left_out_or_null_stays(api: TestApi, left_out: dict[str, None]) -> None:
    made = await post(api, "customers", {"name": "Acme", **SHADOWED})
    rate = {name: value for name, value in left_out.items() if name == "shadow"}
    body = {"budgets": [BUDGET | left_out | {"max_limit": 6}], "rate_limit": RATE | rate | {"token_max_limit": 7}}
    changed = await put(api, f"customers/{made['id']}", body)
    assert shadows(changed) == [True, True]
    assert changed["budgets"][0]["alert_thresholds"] == [90]
    assert (changed["budget"]["max_limit"], changed["rate_limit"]["token_max_limit"]) == (6, 7)


async def test_both_are_changed_and_emptied(api: TestApi) -> None:
    made = await post(api, "customers", {"name": "Acme", **SHADOWED})
    path = f"customers/{made['id']}"
    body = {"budgets": [BUDGET | {"shadow": False, "alert_thresholds": []}], "rate_limit": RATE | {"shadow": False}}
    changed = await put(api, path, body)
    assert shadows(changed) == [False, False]
    assert changed["budgets"][0]["alert_thresholds"] == []
    changed = await put(api, path, {"budget": {"alert_thresholds": [1000, 1], "shadow": True}})
    assert changed["budget"]["alert_thresholds"] == [1000, 1]
    assert (changed["budget"]["shadow"], changed["budget"]["max_limit"]) == (True, 5)


async def test_neither_is_a_new_epoch(api: TestApi, connection: Connection, clock: Clock) -> None:
    made = await post(api, "customers", {"name": "Acme", "budgets": [BUDGET], "rate_limit": RATE})
    await spend(connection, clock, made["budget_id"], 2_000_000_000)
    before = await connection.fetchval(EPOCHS)
    changed = await put(api, f"customers/{made['id']}", SHADOWED)
    assert shadows(changed) == [True, True]
    assert await connection.fetchval(EPOCHS) == before
    assert changed["budget"]["current_usage"] == 2


async def test_a_switch_is_in_the_audit_log_and_another_entity_tag(api: TestApi) -> None:
    made = await post(api, "customers", {"name": "Acme", "rate_limit": RATE})
    path = f"{CUSTOMERS}/{made['id']}"
    tag = (await api.get(path)).headers["ETag"]
    await put(api, f"customers/{made['id']}", {"rate_limit": RATE | {"shadow": True}})
    assert (await api.get(path)).headers["ETag"] != tag
    _, log = await send(api, "GET", f"{API}/audit-logs?action=customer.update")
    before, after = log["audit_logs"][0]["changes"]["rate_limit"]
    assert (before["shadow"], after["shadow"]) == (False, True)


@pytest.mark.parametrize(
    ("limits", "path"),
    [
        ({"budgets": [BUDGET | {"alert_thresholds": [0]}]}, "$.budgets[0].alert_thresholds[0]"),
        ({"budgets": [BUDGET | {"alert_thresholds": [1001]}]}, "$.budgets[0].alert_thresholds[0]"),
        ({"budgets": [BUDGET | {"alert_thresholds": [80, 50, 80]}]}, "$.budgets[0].alert_thresholds[2]"),
        ({"budgets": [BUDGET | {"alert_thresholds": list(range(1, 12))}]}, "$.budgets[0].alert_thresholds"),
        ({"budgets": [BUDGET | {"alert_thresholds": 80}]}, "$.budgets[0].alert_thresholds"),
        ({"budget": BUDGET | {"alert_thresholds": [80, 80]}}, "$.budget.alert_thresholds[1]"),
        ({"budgets": [BUDGET | {"shadow": "yes"}]}, "$.budgets[0].shadow"),
        ({"rate_limit": {"shadow": True}}, "$.rate_limit.shadow"),
        ({"rate_limit": {"shadow": False}}, "$.rate_limit.shadow"),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_its_path(api: TestApi, limits: Any, path: str) -> None:
    made = await post(api, "customers", {"name": "Acme", **SHADOWED})
    status, answer = await send(api, "PUT", f"{CUSTOMERS}/{made['id']}", limits)
    assert (status, answer["error"]["path"]) == (400, path)
    assert (await send(api, "GET", f"{CUSTOMERS}/{made['id']}"))[1]["customer"]["rate_limit"] == made["rate_limit"]


async def test_lists_of_limits_show_both(api: TestApi) -> None:
    await post(api, "customers", {"name": "Acme", **SHADOWED})
    _, budgets = await send(api, "GET", f"{API}/budgets")
    assert [(budget["shadow"], budget["alert_thresholds"]) for budget in budgets["budgets"]] == [(True, [90])]
    _, rate_limits = await send(api, "GET", f"{API}/rate-limits")
    assert [rate_limit["shadow"] for rate_limit in rate_limits["rate_limits"]] == [True]


async def test_a_file_carries_both(api: TestApi, connection: Connection, files: Files) -> None:
    customer = await post(api, "customers", {"name": "Acme", **SHADOWED})
    rules = [RULE | {"shadow": True}, RULE | {"metric": "requests"}]
    await post(api, "model-configs", {"model_name": "o1", "rate_limits": rules})
    document = await files.export()
    reset = "UPDATE budgets SET shadow = false, alert_thresholds = '{}'; UPDATE rate_limits SET shadow = NOT shadow"
    await connection.execute(reset)
    assert await files.changes(document, mode="source-of-truth") != []
    _, read = await send(api, "GET", f"{CUSTOMERS}/{customer['id']}")
    assert shadows(read["customer"]) == [True, True]
    assert read["customer"]["budgets"][0]["alert_thresholds"] == [90]
    assert await files.export() == document


async def test_what_a_file_leaves_out_has_its_default(files: Files, connection: Connection) -> None:
    budget = {"id": "b", "customer_id": "acme", **BUDGET}
    customer = {"id": "acme", "name": "Acme", "rate_limit_id": "r"}
    rate_limit = {"id": "r", **RATE}
    full = [budget | {"alert_thresholds": [], "shadow": True}, rate_limit | {"shadow": True}]
    for limits in (full, [budget, rate_limit]):
        await files.load({"governance": {"customers": [customer], "budgets": limits[:1], "rate_limits": limits[1:]}})
    row = await connection.fetchrow("SELECT alert_thresholds, shadow FROM budgets")
    assert row is not None
    assert (tuple(row["alert_thresholds"]), row["shadow"]) == (DEFAULT_ALERT_THRESHOLDS, False)
    assert await connection.fetchval("SELECT shadow FROM rate_limits") is False


@pytest.fixture
def files(connection: Connection, sealer: Any) -> Files:
    return Files(connection, sealer)
