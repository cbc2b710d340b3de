"""The list of alerts: newest first, narrowed and paged; and a dead one sent again by an operator."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.store.postgres import Connection
from tests.api.calls import API, send
from tests.conftest import Clock, TestApi
from tests.factories import Factory
from tests.store.fired import spend

ALERTS = f"{API}/alerts"
T0 = datetime(2026, 3, 1, tzinfo=UTC)


async def read(api: TestApi, **query: Any) -> list[Any]:
    response = await api.get(ALERTS, params={name: str(value) for name, value in query.items()})
    assert response.status == 200, await response.text()
    answer = await response.json()
    assert answer["count"] == len(answer["alerts"])
    alerts: list[Any] = answer["alerts"]
    return alerts


async def budgets_of(api: TestApi, **query: Any) -> list[str]:
    return [alert["budget_id"] for alert in await read(api, **query)]


async def fire(connection: Connection, make: Factory, name: str, **owner: Any) -> None:
    await make.budget(id=name, max_limit_nanousd=10**9, alert_thresholds=[50], **owner)
    await spend(connection, name, 750_000_000, at=datetime.now(UTC))


async def fire_daily(connection: Connection, make: Factory, days: int) -> None:
    """Alerts b0, b1, … fired a day apart from T0 on."""
    customer = await make.customer(id="acme", name="Acme")
    for day in range(days):
        await fire(connection, make, f"b{day}", customer_id=customer)
        await connection.execute(
            "UPDATE alerts SET fired_at = $1 WHERE budget_id = $2", T0 + timedelta(days=day), f"b{day}"
        )


async def test_an_alert_is_shown_with_all_there_is_of_it(api: TestApi, connection: Connection, make: Factory) -> None:
    await fire_daily(connection, make, 1)
    (alert,) = await read(api)
    assert alert.pop("window_start").endswith("Z")
    assert alert.pop("id") > 0
    assert alert == {
        "budget_id": "b0",
        "owner": {"type": "customer", "id": "acme", "name": "Acme"},
        "customer_id": "acme",
        "threshold_percent": 50,
        "max_limit": 1,
        "used": 0.75,
        "fired_at": "2026-03-01T00:00:00Z",
        "state": "pending",
        "attempts": 0,
    }


async def test_newest_come_first_in_pages_that_have_each_once(
    api: TestApi, connection: Connection, make: Factory
) -> None:
    await fire_daily(connection, make, 5)
    seen: list[str] = []
    page = await read(api, limit=2)
    for _ in range(3):
        seen += [alert["budget_id"] for alert in page]
        page = await read(api, limit=2, before_id=page[-1]["id"])
    assert page == []
    assert seen == ["b4", "b3", "b2", "b1", "b0"]


async def test_times_narrow(api: TestApi, connection: Connection, make: Factory) -> None:
    await fire_daily(connection, make, 3)
    assert await budgets_of(api, **{"from": "2026-03-02T00:00:00Z"}) == ["b2", "b1"]
    assert await budgets_of(api, to="2026-03-02T00:00:00Z") == ["b0"]


async def test_owners_narrow_to_all_that_belonged_to_them(api: TestApi, connection: Connection, make: Factory) -> None:
    customer = await make.customer()
    team = await make.team(customer_id=customer)
    key = await make.virtual_key(team_id=team)
    await fire(connection, make, "of-customer", customer_id=customer)
    await fire(connection, make, "of-team", team_id=team)
    await fire(connection, make, "of-key", virtual_key_id=key)
    await fire(connection, make, "of-model", model_config_id=await make.model_config())
    assert await budgets_of(api) == ["of-model", "of-key", "of-team", "of-customer"]
    assert await budgets_of(api, customer_id=customer) == ["of-key", "of-team", "of-customer"]
    assert await budgets_of(api, team_id=team) == ["of-key", "of-team"]
    assert await budgets_of(api, virtual_key_id=key) == ["of-key"]
    assert await budgets_of(api, budget_id="of-team") == ["of-team"]
    assert await budgets_of(api, virtual_key_id=key, budget_id="of-team") == []


async def test_states_narrow(api: TestApi, connection: Connection, make: Factory) -> None:
    await fire_daily(connection, make, 3)
    await connection.execute("UPDATE alerts SET state = 'dead' WHERE budget_id = 'b1'")
    await connection.execute("UPDATE alerts SET state = 'delivered', delivered_at = now() WHERE budget_id = 'b2'")
    for state, budget in (("pending", "b0"), ("dead", "b1"), ("delivered", "b2")):
        assert await budgets_of(api, state=state) == [budget]
    assert "delivered_at" in (await read(api, state="delivered"))[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "lost"),
        ("limit", "-1"),
        ("before_id", "-1"),
        ("before_id", "x"),
        ("before_id", "999999999999999"),
        ("from", "yesterday"),
    ],
)
async def test_a_filter_that_cannot_be_meant_is_refused_by_name(api: TestApi, name: str, value: str) -> None:
    response = await api.get(ALERTS, params={name: value})
    assert response.status == 400
    assert f"'{name}'" in (await response.json())["error"]["message"]


async def test_a_dead_alert_is_sent_again_and_the_audit_log_tells_who_said_so(
    api: TestApi, connection: Connection, make: Factory, clock: Clock
) -> None:
    await fire_daily(connection, make, 1)
    await connection.execute("UPDATE alerts SET state = 'dead', attempts = 12, last_error = 'webhook 1 answered 500'")
    (dead,) = await read(api, state="dead")
    status, answer = await send(api, "POST", f"{ALERTS}/{dead['id']}/retry")
    assert (status, answer["message"]) == (200, "Alert will be sent again")
    assert answer["alert"] == dead | {"state": "pending", "attempts": 0}
    assert await connection.fetchval("SELECT next_attempt_at FROM alerts") == clock()
    _, log = await send(api, "GET", f"{API}/audit-logs?action=alert.retry")
    (entry,) = log["audit_logs"]
    assert (entry["entity_id"], entry["tenant_id"]) == (str(dead["id"]), "customer:acme")
    assert entry["changes"] == {"state": ["dead", "pending"]}


@pytest.mark.parametrize("state", ["pending", "delivered"])
async def test_an_alert_that_is_not_dead_is_not_sent_again(
    api: TestApi, connection: Connection, make: Factory, state: str
) -> None:
    await fire_daily(connection, make, 1)
    await connection.execute("UPDATE alerts SET state = $1", state)
    (alert,) = await read(api)
    status, answer = await send(api, "POST", f"{ALERTS}/{alert['id']}/retry")
    assert (status, answer["error"]["message"]) == (409, f"The alert is {state}: only a dead one is sent again")


@pytest.mark.parametrize("alert_id", ["1", "x", "-1", "9" * 30])
async def test_there_is_no_such_alert(api: TestApi, alert_id: str) -> None:
    status, answer = await send(api, "POST", f"{ALERTS}/{alert_id}/retry")
    assert (status, answer["error"]["message"]) == (404, "Alert not found")


async def test_usage_that_is_reported_fires(api: TestApi) -> None:
    budget = {"max_limit": 1, "reset_duration": "1d", "alert_thresholds": [90]}
    _, made = await send(api, "POST", f"{API}/virtual-keys", {"name": "k", "budgets": [budget]})
    key = made["virtual_key"]
    for number, cost in enumerate((0.5, 0.3, 0.15, 0.05)):
        report = {"request_id": f"r{number}", "virtual_key_id": key["id"], "provider": "openai", "model": "gpt-4o"}
        usage = report | {"input_tokens": 1, "output_tokens": 1, "cost": cost}
        assert (await send(api, "POST", f"{API}/usage", usage))[0] == 200
    (alert,) = await read(api, virtual_key_id=key["id"])
    assert (alert["threshold_percent"], alert["used"], alert["owner"]["name"]) == (90, 0.95, "k")
