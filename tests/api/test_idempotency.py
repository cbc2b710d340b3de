"""`Idempotency-Key`: a POST that is sent again, because its answer was lost, makes nothing twice."""

import asyncio
from typing import Any

import pytest

from service.store.postgres import Connection
from tests.api.sending import Answered, send
from tests.conftest import Clock, TestApi
from tests.reading import CUSTOMERS

TEAMS = "/api/governance/teams"
KEYS = "/api/governance/virtual-keys"
BODIES: list[tuple[str, dict[str, Any]]] = [
    (CUSTOMERS, {"name": "Acme", "budgets": [{"max_limit": 5, "reset_duration": "1d"}]}),
    (TEAMS, {"name": "Search"}),
    (KEYS, {"name": "bot"}),
]


async def post(api: TestApi, path: str, body: Any, key: str = "key-1") -> Answered:
    return await send(api, "POST", path, body, {"Idempotency-Key": key})


async def count(connection: Connection) -> tuple[int, ...]:
    """What could have been made twice."""
    tables = ("customers", "teams", "virtual_keys", "budgets", "audit_log")
    return tuple([await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables])


@pytest.mark.parametrize(("path", "body"), BODIES, ids=[path for path, _ in BODIES])
async def test_the_same_request_again_gets_the_first_answer_and_makes_nothing(
    api: TestApi, connection: Connection, clock: Clock, path: str, body: Any
) -> None:
    first = await post(api, path, body)
    assert first.status in (200, 201)
    assert "Idempotent-Replayed" not in first.headers
    made = await count(connection)
    clock.forward(hours=1)
    again = await post(api, path, body)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status, again.body) == (first.status, first.body)
    assert await count(connection) == made


async def test_the_first_answer_stays_though_the_entity_was_changed_or_removed(api: TestApi) -> None:
    first = await post(api, CUSTOMERS, {"name": "Acme"})
    await send(api, "DELETE", f"{CUSTOMERS}/{first.body['customer']['id']}")
    assert (await post(api, CUSTOMERS, {"name": "Acme"})).body == first.body


@pytest.mark.parametrize(
    ("path", "body"), [(CUSTOMERS, {"name": "Other"}), (CUSTOMERS, {"name": "Acme", "budgets": []}), (TEAMS, None)]
)
async def test_another_request_with_the_key_is_refused_and_makes_nothing(
    api: TestApi, connection: Connection, path: str, body: Any
) -> None:
    await post(api, CUSTOMERS, {"name": "Acme"})
    made = await count(connection)
    other = await post(api, path, body or {"name": "Acme"})
    assert other.status == 409
    assert "Idempotency-Key" in other.body["error"]["message"]
    assert "Idempotent-Replayed" not in other.headers
    assert await count(connection) == made


async def test_of_ten_at_once_one_makes_the_entity_and_all_are_answered_with_it(
    api: TestApi, connection: Connection
) -> None:
    answers = await asyncio.gather(*(post(api, CUSTOMERS, {"name": "Acme"}) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body["customer"]["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert await count(connection) == (1, 0, 0, 0, 1)


@pytest.mark.parametrize("refused", [{"name": ""}, {"name": "taken"}, {"name": "Acme", "budget": {"max_limit": 1}}])
async def test_a_refused_request_leaves_its_key_free(api: TestApi, connection: Connection, refused: Any) -> None:
    await send(api, "POST", CUSTOMERS, {"name": "taken"})
    assert (await post(api, CUSTOMERS, refused)).status in (400, 409)
    assert await connection.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    mended = await post(api, CUSTOMERS, {"name": "Acme"})
    assert mended.status == 200
    assert "Idempotent-Replayed" not in mended.headers


async def test_another_key_is_another_request(api: TestApi) -> None:
    await post(api, KEYS, {"name": "a"}, key="key-1")
    assert (await post(api, KEYS, {"name": "b"}, key="key-2")).body["virtual_key"]["name"] == "b"


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "ümlaut"])
async def test_a_key_that_is_none_is_refused_and_makes_nothing(api: TestApi, connection: Connection, key: str) -> None:
    answer = await post(api, CUSTOMERS, {"name": "Acme"}, key=key)
    assert answer.status == 400
    assert "Idempotency-Key" in answer.body["error"]["message"]
    assert await count(connection) == (0, 0, 0, 0, 0)


async def test_the_kept_answer_is_sealed(api: TestApi, connection: Connection) -> None:
    value = (await post(api, KEYS, {"name": "bot"})).body["virtual_key"]["value"]
    assert value.startswith("sk-bf-")
    (row,) = await connection.fetch("SELECT *, idempotency_keys::text AS text FROM idempotency_keys")
    for secret in (value, "bot"):
        assert secret.encode() not in row["answer_sealed"]
        assert secret.encode().hex() not in row["text"]
    assert (await post(api, KEYS, {"name": "bot"})).body["virtual_key"]["value"] == value


async def test_a_kept_answer_moved_to_another_key_does_not_open(api: TestApi, connection: Connection) -> None:
    await post(api, KEYS, {"name": "bot"}, key="key-1")
    await connection.execute("UPDATE idempotency_keys SET key = 'key-2'")
    answer = await post(api, KEYS, {"name": "bot"}, key="key-2")
    assert answer.status == 409
    assert "virtual_key" not in answer.body
