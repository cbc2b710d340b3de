"""`GET /api/governance/audit-logs`: who changed what, newest first, narrowed and paged."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.store.audit import AuditEntry, insert_audit_entry
from service.store.postgres import Connection
from tests.conftest import TestApi
from tests.reading import CUSTOMERS

AUDIT_LOGS = "/api/governance/audit-logs"
ENTRY = {
    "actor": "ops",
    "action": "team.update",
    "entity_type": "team",
    "entity_id": "t-1",
    "tenant_id": "customer:c-1",
    "request_id": "r-1",
}


async def write(connection: Connection, **given: Any) -> None:
    await insert_audit_entry(connection, AuditEntry(**{**ENTRY, "changes": {}, **given}))


async def write_numbered(connection: Connection, count: int) -> None:
    """Entries of one transaction, and so of one time: only their ids tell them apart."""
    async with connection.transaction():
        for number in range(count):
            await write(connection, entity_id=f"t-{number}")


async def read(api: TestApi, **query: str | int) -> Any:
    response = await api.get(AUDIT_LOGS, params=query)
    assert response.status == 200, await response.text()
    return await response.json()


async def entity_ids(api: TestApi, **query: str | int) -> list[str]:
    return [entry["entity_id"] for entry in (await read(api, **query))["audit_logs"]]


async def test_an_empty_log_is_an_empty_page(api: TestApi) -> None:
    assert await read(api) == {"audit_logs": [], "count": 0, "total_count": 0, "limit": 25, "offset": 0}


async def test_a_change_is_told_with_who_when_what_and_from_what_to_what(api: TestApi) -> None:
    begun = datetime.now(UTC)
    made = await (await api.post(CUSTOMERS, json={"name": "Acme"})).json()
    path = f"{CUSTOMERS}/{made['customer']['id']}"
    await api.put(path, json={"name": "Bcme"}, headers={"X-Request-Id": "r-7"})
    newest = (await read(api))["audit_logs"][0]
    assert begun <= datetime.fromisoformat(newest.pop("at")) <= datetime.now(UTC)
    assert newest.pop("id") > 1
    assert newest == {
        "actor": "anyone",
        "action": "customer.update",
        "entity_type": "customer",
        "entity_id": made["customer"]["id"],
        "tenant_id": f"customer:{made['customer']['id']}",
        "request_id": "r-7",
        "changes": {"name": ["Acme", "Bcme"]},
    }


async def test_what_an_entry_does_not_have_is_null(api: TestApi, connection: Connection) -> None:
    await write(connection, tenant_id=None, request_id=None)
    (entry,) = (await read(api))["audit_logs"]
    assert (entry["tenant_id"], entry["request_id"]) == (None, None)


@pytest.mark.parametrize("name", list(ENTRY))
async def test_a_filter_leaves_what_matches_it_exactly(api: TestApi, connection: Connection, name: str) -> None:
    await write(connection)
    await write(connection, **{name: "other"})
    await write(connection, **{name: f"{ENTRY[name]} and more"})
    page = await read(api, **{name: "other"})
    assert [entry[name] for entry in page["audit_logs"]] == ["other"]
    assert (page["count"], page["total_count"]) == (1, 1)
    assert (await read(api, **{name: "nobody"}))["total_count"] == 0
    assert (await read(api, **ENTRY))["total_count"] == 1


async def test_a_time_is_in_from_its_beginning_and_out_from_its_end(api: TestApi, connection: Connection) -> None:
    await write_numbered(connection, 1)
    await write(connection, entity_id="later")
    first, later = [row["at"] for row in await connection.fetch("SELECT at FROM audit_log ORDER BY id")]
    assert first < later
    assert await entity_ids(api, **{"from": first.isoformat(), "to": later.isoformat()}) == ["t-0"]
    assert await entity_ids(api, **{"from": later.isoformat()}) == ["later"]
    assert await entity_ids(api, to=first.isoformat()) == []
    after_both = (later + timedelta(microseconds=1)).isoformat()
    assert await entity_ids(api, to=after_both) == ["later", "t-0"]
    assert (await read(api, to=later.isoformat()))["total_count"] == 1


async def test_another_offset_means_the_same_time(api: TestApi, connection: Connection) -> None:
    await write(connection)
    at: datetime = await connection.fetchval("SELECT at FROM audit_log")
    local = (at + timedelta(hours=9)).replace(tzinfo=None).isoformat() + "+09:00"
    assert (await read(api, **{"from": local}))["count"] == 1


async def test_pages_by_offset_are_the_log_newest_first(api: TestApi, connection: Connection) -> None:
    await write_numbered(connection, 7)
    pages = [await entity_ids(api, limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert pages == [["t-6", "t-5", "t-4"], ["t-3", "t-2", "t-1"], ["t-0"], []]
    assert (await read(api, limit=3, offset=6))["total_count"] == 7


async def test_pages_by_before_id_have_every_entry_once_though_others_are_written(
    api: TestApi, connection: Connection
) -> None:
    await write_numbered(connection, 7)
    seen: list[str] = []
    page = await read(api, limit=3)
    while page["audit_logs"]:
        seen += [entry["entity_id"] for entry in page["audit_logs"]]
        await write(connection, entity_id="written meanwhile")
        page = await read(api, limit=3, before_id=page["audit_logs"][-1]["id"])
    assert seen == [f"t-{number}" for number in range(6, -1, -1)]


async def test_a_page_after_another_is_narrowed_too_and_leaves_the_count_to_the_first(
    api: TestApi, connection: Connection
) -> None:
    for number in range(3):
        await write(connection, entity_id=f"t-{number}", actor="even" if number % 2 == 0 else "odd")
    newest = (await read(api))["audit_logs"][0]["id"]
    page = await read(api, before_id=newest, actor="even")
    assert [entry["entity_id"] for entry in page["audit_logs"]] == ["t-0"]
    assert "total_count" not in page


async def test_a_page_is_25_unless_told_and_100_at_most(api: TestApi, connection: Connection) -> None:
    await write_numbered(connection, 101)
    assert len(await entity_ids(api)) == 25
    page = await read(api, limit=5000)
    assert (len(page["audit_logs"]), page["limit"], page["total_count"]) == (100, 100, 101)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ENTRY for value in ("a\0b", "x" * 256)),
        *(
            (name, value)
            for name in ("from", "to")
            for value in (
                "yesterday",
                "2026-01-31",
                "2026-01-31T12:00:00",
                "2026-02-30T12:00:00Z",
                "2026-01-31T12:00:00 01:00",
                "1769860800",
                "0001-01-01T00:00:00+14:00",
                "9999-12-31T23:59:59-14:00",
            )
        ),
        ("limit", "many"),
        ("limit", "-1"),
        ("offset", "1.5"),
        ("offset", "-1"),
        ("before_id", "0"),
        ("before_id", "-1"),
        ("before_id", "x"),
        ("before_id", "999999999999999"),
    ],
)
async def test_a_filter_that_cannot_be_meant_is_refused_by_name(api: TestApi, name: str, value: str) -> None:
    response = await api.get(AUDIT_LOGS, params={name: value})
    assert response.status == 400
    assert f"'{name}'" in (await response.json())["error"]["message"]


async def test_a_time_that_ends_before_it_begins_and_a_filter_given_twice_are_refused(api: TestApi) -> None:
    response = await api.get(AUDIT_LOGS, params={"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"})
    assert response.status == 400
    assert "'from'" in (await response.json())["error"]["message"]
    assert (await api.get(AUDIT_LOGS, params=[("actor", "a"), ("actor", "b")])).status == 400
