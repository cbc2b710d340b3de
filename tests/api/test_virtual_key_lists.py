"""Lists of virtual keys: narrowed, ordered and paged as asked for."""

from typing import Any

import pytest

from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.api.calls import VIRTUAL_KEYS, make_entity, send
from tests.conftest import Clock, TestApi
from tests.factories import meter_of_budget, usage_event


@pytest.fixture
async def keys(api: TestApi, connection: Connection, clock: Clock) -> dict[str, Any]:
    """alpha (of the customer Acme, spent 1), beta (of the team Blue, spent 3), gamma (inactive, of nobody)."""
    customer = await make_entity(api, "customers", name="Acme")
    team = await make_entity(api, "teams", name="Blue")
    budgets = {"budgets": [{"max_limit": 5, "reset_duration": "1d"}]}
    wanted: dict[str, dict[str, Any]] = {
        "beta": {"team_id": team["id"], "metadata": {"env": "prod"}, **budgets},
        "Gamma": {"is_active": False, "metadata": {"env": "Dev", "x": "1"}},
        "alpha": {"customer_id": customer["id"], **budgets},
    }
    made: dict[str, Any] = {}
    for name, fields in wanted.items():
        made[name] = await make_entity(api, "virtual-keys", name=name, **fields)
        clock.forward(seconds=1)
    for name, amount_nanousd in (("alpha", 1_000_000_000), ("beta", 3_000_000_000)):
        tenant_id, meter = await meter_of_budget(connection, made[name]["budget_id"])
        await record_usage(connection, [usage_event(name, (tenant_id, meter, amount_nanousd), at=clock())])
    return made | {"customer": customer, "team": team}


async def names(api: TestApi, query: str) -> list[str]:
    status, answer = await send(api, "GET", f"{VIRTUAL_KEYS}{query}")
    assert status == 200, answer
    assert answer["count"] == len(answer["virtual_keys"])
    return [key["name"].lower() for key in answer["virtual_keys"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["beta", "gamma", "alpha"]),
        ("?order=desc", ["alpha", "gamma", "beta"]),
        ("?sort_by=name", ["alpha", "beta", "gamma"]),
        ("?sort_by=name&order=desc", ["gamma", "beta", "alpha"]),
        ("?sort_by=budget_spent&order=desc", ["beta", "alpha", "gamma"]),
        ("?sort_by=budget_spent", ["gamma", "alpha", "beta"]),
        ("?sort_by=status", ["beta", "alpha", "gamma"]),
        ("?search=ALPH", ["alpha"]),
        ("?search=acme", ["alpha"]),
        ("?search=blue", ["beta"]),
        ("?search=dev", ["gamma"]),
        ("?limit=1", ["beta"]),
        ("?limit=1&offset=1", ["gamma"]),
        ("?offset=9", []),
        ("?export=true&sort_by=name", ["alpha", "beta", "gamma"]),
        ("?metadata_env=prod", ["beta"]),
        ("?metadata_env=Dev&metadata_x=1", ["gamma"]),
        ("?metadata_env=Dev&metadata_x=2", []),
        ("?user_id=someone", []),
        ("?from_memory=true", ["beta", "gamma", "alpha"]),
    ],
)
async def test_a_list_is_what_was_asked_for(api: TestApi, keys: Any, query: str, expected: list[str]) -> None:
    assert await names(api, query) == expected


async def test_owners_are_combined(api: TestApi, keys: Any) -> None:
    customer_id, team_id = keys["customer"]["id"], keys["team"]["id"]
    assert await names(api, f"?customer_id={customer_id}") == ["alpha"]
    assert await names(api, f"?team_id={team_id}") == ["beta"]
    assert await names(api, f"?team_id={team_id}&customer_id={customer_id}") == ["beta", "alpha"]
    assert await names(api, "?team_id=no") == []


async def test_a_page_says_how_many_match(api: TestApi, keys: Any) -> None:
    _, answer = await send(api, "GET", f"{VIRTUAL_KEYS}?limit=2&offset=1")
    assert {name: answer[name] for name in ("count", "total_count", "limit", "offset")} == {
        "count": 2,
        "total_count": 3,
        "limit": 2,
        "offset": 1,
    }
    _, answer = await send(api, "GET", f"{VIRTUAL_KEYS}?limit=500")
    assert answer["limit"] == 100


@pytest.mark.parametrize(
    "query",
    [
        "?limit=ten",
        "?limit=-1",
        "?offset=-1",
        "?sort_by=value",
        "?order=up",
        "?export=maybe",
        "?metadata_a%20b=c",
        "?user_id=u&from_memory=true",
    ],
)
async def test_a_query_that_cannot_be_meant_is_refused(api: TestApi, query: str) -> None:
    status, answer = await send(api, "GET", f"{VIRTUAL_KEYS}{query}")
    assert status == 400, answer


async def test_a_list_too_large_for_one_piece_is_whole(api: TestApi, connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO virtual_keys (id, name, value_hash, value_sealed) "
        "SELECT n, n, sha256(n::text::bytea), '' FROM generate_series(1, 620) AS n"
    )
    _, answer = await send(api, "GET", VIRTUAL_KEYS)
    assert answer["count"] == answer["total_count"] == 620
    assert len({key["id"] for key in answer["virtual_keys"]}) == 620
