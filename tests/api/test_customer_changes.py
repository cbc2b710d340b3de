"""Customers are made, changed and removed over HTTP, and every read shows it at once."""

from typing import Any

import pytest

from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.conftest import Clock, TestApi
from tests.factories import Factory, meter_of_budget, usage_event
from tests.reading import CUSTOMERS

LIMITS: dict[str, Any] = {
    "budgets": [{"max_limit": 5, "reset_duration": "1d"}, {"max_limit": 50.5, "reset_duration": "1M"}],
    "rate_limit": {"token_max_limit": 1000, "token_reset_duration": "1h"},
}


RATE_LIMIT = {"token_max_limit": 1, "x": 1, "token_reset_duration": "1h"}
QUARTER_OF_DAYS = {"max_limit": 1, "reset_duration": "1d", "reset_config": {"quarter_start_month": 2}}


async def send(api: TestApi, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    response = await api.request(method, path, json=body, headers=headers)
    return response.status, await response.json()


async def created(api: TestApi, **fields: Any) -> Any:
    status, answer = await send(api, "POST", CUSTOMERS, {"name": "Acme", **fields})
    assert status == 200, answer
    return answer["customer"]


async def spend(connection: Connection, clock: Clock, budget_id: str, amount_nanousd: int) -> None:
    tenant_id, meter = await meter_of_budget(connection, budget_id)
    event = usage_event(f"spend-{budget_id}-{amount_nanousd}", (tenant_id, meter, amount_nanousd), at=clock())
    await record_usage(connection, [event])


async def test_what_is_created_is_read_back(api: TestApi) -> None:
    made = await created(api, **LIMITS, calendar_aligned=True, max_parallel_requests=3)
    status, read = await send(api, "GET", f"{CUSTOMERS}/{made['id']}")
    assert status == 200
    assert read["customer"] == made | {"teams": [], "virtual_keys": []}
    assert [budget["max_limit"] for budget in made["budgets"]] == [5, 50.5]
    assert made["budget"] == made["budgets"][0]
    assert made["rate_limit"]["token_max_limit"] == 1000
    assert (made["calendar_aligned"], made["max_parallel_requests"]) == (True, 3)


async def test_what_is_left_out_of_an_update_stays(api: TestApi) -> None:
    made = await created(api, **LIMITS)
    status, answer = await send(api, "PUT", f"{CUSTOMERS}/{made['id']}", {"name": "Acme 2"})
    assert status == 200
    changed = answer["customer"]
    assert changed["name"] == "Acme 2"
    assert changed["updated_at"] > made["updated_at"]
    for field in ("budgets", "rate_limit", "calendar_aligned", "created_at"):
        assert changed[field] == made[field]


async def test_an_empty_list_removes_budgets_and_an_empty_object_the_rate_limit(api: TestApi) -> None:
    made = await created(api, **LIMITS)
    _, answer = await send(api, "PUT", f"{CUSTOMERS}/{made['id']}", {"budgets": [], "rate_limit": {}})
    assert answer["customer"]["budgets"] == []
    assert not {"budget", "budget_id", "rate_limit", "rate_limit_id"} & answer["customer"].keys()


async def test_a_budget_that_stays_keeps_its_id_and_usage(api: TestApi, connection: Connection, clock: Clock) -> None:
    made = await created(api, **LIMITS)
    day, month = made["budgets"]
    await spend(connection, clock, day["id"], 1_250_000_000)
    wanted = [{"max_limit": 9, "reset_duration": "1w"}, {"max_limit": 7, "reset_duration": "1d"}]
    _, answer = await send(api, "PUT", f"{CUSTOMERS}/{made['id']}", {"budgets": wanted})
    week, same_day = answer["customer"]["budgets"]
    assert (same_day["id"], same_day["max_limit"], same_day["current_usage"]) == (day["id"], 7, 1.25)
    assert week["id"] not in (day["id"], month["id"])
    assert week["current_usage"] == 0


@pytest.mark.parametrize("change", [{"calendar_aligned": True}, {"time_zone": "Asia/Tokyo", "calendar_aligned": True}])
async def test_another_calendar_keeps_usage(
    api: TestApi, connection: Connection, clock: Clock, change: dict[str, Any]
) -> None:
    made = await created(api, **LIMITS)
    await spend(connection, clock, made["budget_id"], 2_000_000_000)
    _, answer = await send(api, "PUT", f"{CUSTOMERS}/{made['id']}", change)
    assert answer["customer"]["budget"]["current_usage"] == 2
    _, read = await send(api, "GET", f"{CUSTOMERS}/{made['id']}")
    assert read["customer"]["budget"]["current_usage"] == 2


async def test_another_period_of_the_same_budget_keeps_usage(
    api: TestApi, connection: Connection, clock: Clock
) -> None:
    made = await created(api, budgets=[{"max_limit": 5, "reset_duration": "1d"}])
    await spend(connection, clock, made["budget_id"], 2_000_000_000)
    wanted = [{"id": made["budget_id"], "max_limit": 5, "reset_duration": "1w"}]
    _, answer = await send(api, "PUT", f"{CUSTOMERS}/{made['id']}", {"budgets": wanted})
    assert (answer["customer"]["budget"]["id"], answer["customer"]["budget"]["current_usage"]) == (made["budget_id"], 2)


async def test_a_reset_starts_budgets_at_zero_in_the_same_window(
    api: TestApi, connection: Connection, clock: Clock
) -> None:
    made = await created(api, **LIMITS)
    await spend(connection, clock, made["budget_id"], 2_000_000_000)
    _, answer = await send(api, "PUT", f"{CUSTOMERS}/{made['id']}", {"reset_budget_usage": True})
    assert answer["customer"]["budget"]["current_usage"] == 0
    assert answer["customer"]["budget"]["last_reset"] == made["budget"]["last_reset"]


async def test_the_older_single_budget_is_a_list_of_one(api: TestApi) -> None:
    made = await created(api, budget={"max_limit": 5, "reset_duration": "1d"})
    path = f"{CUSTOMERS}/{made['id']}"
    _, answer = await send(api, "PUT", path, {"budget": {"max_limit": 6}})
    assert answer["customer"]["budgets"][0] | {"updated_at": None} == made["budget"] | {
        "max_limit": 6,
        "updated_at": None,
    }
    _, answer = await send(api, "PUT", path, {"budget": {}})
    assert answer["customer"]["budgets"] == []
    assert (await send(api, "PUT", path, {"budget": {"max_limit": 6}}))[0] == 400
    await send(api, "PUT", path, LIMITS)
    status, answer = await send(api, "PUT", path, {"budget": {"max_limit": 6, "reset_duration": "1d"}})
    assert (status, answer["error"]["path"]) == (400, "$.budget")


async def test_a_deleted_customer_leaves_its_teams_and_virtual_keys(api: TestApi, make: Factory) -> None:
    made = await created(api)
    await make.team(id="team", customer_id=made["id"])
    assert (await send(api, "DELETE", f"{CUSTOMERS}/{made['id']}"))[0] == 200
    assert (await send(api, "GET", f"{CUSTOMERS}/{made['id']}"))[0] == 404
    status, answer = await send(api, "GET", "/api/governance/teams/team")
    assert status == 200
    assert "customer_id" not in answer["team"]


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ({}, 400, "$.name"),
        ({"name": ""}, 400, "$.name"),
        ({"name": 5}, 400, "$.name"),
        ({"name": "a\u0000b"}, 400, "$.name"),
        ({"name": "a\n"}, 400, "$.name"),
        ({"name": "x" * 256}, 400, "$.name"),
        ({"name": "a", "time_zone": "Mars/Olympus"}, 400, "$.time_zone"),
        ({"name": "a", "max_parallel_requests": 0}, 400, "$.max_parallel_requests"),
        ({"name": "a", "budgets": [{"max_limit": 0, "reset_duration": "1d"}]}, 400, "$.budgets[0].max_limit"),
        ({"name": "a", "budgets": [{"max_limit": -1, "reset_duration": "1d"}]}, 400, "$.budgets[0].max_limit"),
        ({"name": "a", "budgets": [{"max_limit": 1e-12, "reset_duration": "1d"}]}, 400, "$.budgets[0].max_limit"),
        ({"name": "a", "budgets": [{"max_limit": 1e10, "reset_duration": "1d"}]}, 400, "$.budgets[0].max_limit"),
        ({"name": "a", "budgets": [{"max_limit": 1, "reset_duration": "soon"}]}, 400, "$.budgets[0].reset_duration"),
        (
            {"name": "a", "budgets": [{"max_limit": 1, "reset_duration": "1d"}] * 2},
            400,
            "$.budgets[1].reset_duration",
        ),
        (
            {"name": "a", "budgets": [{"id": "no", "max_limit": 1, "reset_duration": "1d"}]},
            400,
            "$.budgets[0].id",
        ),
        (
            {"name": "a", "budget": {"max_limit": 1, "reset_duration": "1d"}, "budgets": []},
            400,
            "$.budget",
        ),
        ({"name": "a", "budget": {"max_limit": 1}}, 400, "$.budget"),
        (
            {
                "name": "a",
                "budgets": [QUARTER_OF_DAYS],
            },
            400,
            "$.budgets[0].reset_config",
        ),
        ({"name": "a", "rate_limit": {"token_max_limit": 5}}, 400, "$.rate_limit.token_reset_duration"),
        (
            {"name": "a", "rate_limit": {"request_max_limit": 5, "request_reset_duration": "1Q"}},
            400,
            "$.rate_limit.request_reset_duration",
        ),
        ({"name": "a", "rate_limit": {"token_max_limit": 1.5}}, 400, "$.rate_limit.token_max_limit"),
    ],
)
async def test_a_fault_is_named_by_its_path_and_nothing_is_written(
    api: TestApi, connection: Connection, body: Any, status: int, path: str
) -> None:
    answered, answer = await send(api, "POST", CUSTOMERS, body)
    assert (answered, answer["error"].get("path")) == (status, path), answer
    assert await connection.fetchval("SELECT count(*) FROM customers") == 0
    assert await connection.fetchval("SELECT count(*) FROM audit_log") == 0


async def test_a_name_is_taken_once(api: TestApi) -> None:
    made = await created(api)
    status, answer = await send(api, "POST", CUSTOMERS, {"name": "Acme"})
    assert (status, answer["error"]["message"]) == (409, "A customer with this name already exists")
    other = await created(api, name="Other")
    assert (await send(api, "PUT", f"{CUSTOMERS}/{other['id']}", {"name": "Acme"}))[0] == 409
    assert made["id"] != other["id"]


async def test_an_unknown_field_is_warned_of(api: TestApi) -> None:
    status, answer = await send(
        api,
        "POST",
        CUSTOMERS,
        {"name": "a", "budgts": [], "rate_limit": RATE_LIMIT},
    )
    assert status == 200
    assert answer["warnings"] == [
        {"path": "$.budgts", "message": "unknown field 'budgts' was ignored", "did_you_mean": "budgets"},
        {"path": "$.rate_limit.x", "message": "unknown field 'x' was ignored"},
    ]


async def test_every_change_is_in_the_audit_log(api: TestApi, connection: Connection) -> None:
    made = await created(api, **LIMITS)
    await send(api, "PUT", f"{CUSTOMERS}/{made['id']}", {"name": "B", "budgets": []}, **{"X-Request-Id": "r-1"})
    await send(api, "DELETE", f"{CUSTOMERS}/{made['id']}")
    rows = await connection.fetch("SELECT *, changes::text AS text FROM audit_log ORDER BY id")
    assert [row["action"] for row in rows] == ["customer.create", "customer.update", "customer.delete"]
    assert {row["entity_id"] for row in rows} == {made["id"]}
    assert {row["actor"] for row in rows} == {"anyone"}
    assert rows[1]["request_id"] == "r-1"
    assert '"name": ["Acme", "B"]' in rows[1]["text"]
    assert "updated_at" not in rows[1]["text"]


async def test_a_body_nested_without_end_is_refused(api: TestApi) -> None:
    nested = b'{"a":' * 900 + b"1" + b"}" * 900
    response = await api.post(
        CUSTOMERS, data=b'{"name":5,"query":' + nested + b"}", headers={"Content-Type": "application/json"}
    )
    assert response.status == 400, await response.text()
