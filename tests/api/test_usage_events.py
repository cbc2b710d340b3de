"""`GET /api/governance/usage/events`: the ledger, newest first, each event once however it is paged through."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from service.domain.usage import UsageEvent
from service.domain.windows import from_us
from service.governance import usage_ledger
from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.api.calls import API
from tests.api.ledger_events import chance_events
from tests.conftest import TestApi
from tests.factories import Factory, meter_of_budget, meter_of_rate_limit, usage_event

EVENTS = f"{API}/usage/events"


@pytest.fixture
async def recorded(connection: Connection) -> list[UsageEvent]:
    """Oldest first; those of one batch have one time, and only their ids tell them apart."""
    events = chance_events(random.Random(2), 120, until=datetime.now(UTC), days=3)
    for start in range(0, len(events), 30):
        await record_usage(connection, events[start : start + 30])
    return events


async def read(api: TestApi, **query: Any) -> Any:
    response = await api.get(EVENTS, params=query)
    text = await response.text()
    assert response.status == 200, text
    return json.loads(text, parse_float=Decimal)


async def read_all(api: TestApi, **query: Any) -> list[Any]:
    page = await read(api, **query)
    events = page["events"]
    for _ in range(1000):
        if "next_cursor" not in page:
            return list(events)
        page = await read(api, **query, cursor=page["next_cursor"])
        assert page["count"] == len(page["events"]) <= page["limit"]
        events += page["events"]
    raise AssertionError("the pages do not end")


def request_ids(events: Sequence[Any]) -> list[str]:
    return [event["request_id"] for event in events]


async def test_an_empty_ledger_is_an_empty_page(api: TestApi) -> None:
    assert await read(api) == {"events": [], "count": 0, "limit": 100}


async def test_an_event_is_told_with_what_it_was_charged_to(
    api: TestApi, connection: Connection, make: Factory
) -> None:
    team = await make.team(id="research")
    budget = await meter_of_budget(connection, await make.budget(id="b-1", team_id=team))
    tokens = await meter_of_rate_limit(connection, await make.rate_limit(id="l-1", team_id=team), "token")
    now = datetime.now(UTC)
    event = usage_event(
        "r-1",
        (*budget, 1_234_567_890),
        (*tokens, 1500),
        at=now,
        team_id=team,
        provider="openai",
        model="gpt-4o",
        input_tokens=1000,
        output_tokens=500,
        cached_input_tokens=10,
        cost_nanousd=1_234_567_890,
    )
    await record_usage(connection, [event])
    (shown,) = (await read(api))["events"]
    assert isinstance(shown.pop("id"), int)
    recorded_at = datetime.fromisoformat(shown.pop("recorded_at"))
    assert abs(recorded_at - now) < timedelta(minutes=1)
    charges = {charge.pop("limit_id"): charge for charge in shown.pop("charges")}
    starts = {charge.meter_id: from_us(charge.window_start_us) for charge in event.charges}
    assert {limit_id: datetime.fromisoformat(charge.pop("window_start")) for limit_id, charge in charges.items()} == {
        "b-1": starts["budget:b-1"],
        "l-1": starts["tokens:l-1"],
    }
    assert charges == {
        "b-1": {"meter": "budget:b-1", "kind": "budget", "epoch": 1, "amount": Decimal("1.23456789")},
        "l-1": {"meter": "tokens:l-1", "kind": "tokens", "epoch": 1, "amount": 1500},
    }
    assert datetime.fromisoformat(shown.pop("occurred_at")) == now
    assert shown == {
        "request_id": "r-1",
        "customer_id": None,
        "team_id": "research",
        "virtual_key_id": "virtual_key-of-a-test",
        "provider": "openai",
        "model": "gpt-4o",
        "status": "success",
        "input_tokens": 1000,
        "output_tokens": 500,
        "cached_input_tokens": 10,
        "total_tokens": 1500,
        "cost": Decimal("1.23456789"),
        "priced": True,
    }


@pytest.mark.parametrize("limit", [1, 7, 30, 1000])
async def test_pages_of_any_size_have_each_event_once_newest_first(
    api: TestApi, recorded: list[UsageEvent], limit: int
) -> None:
    events = await read_all(api, limit=limit)
    assert sorted(request_ids(events)) == sorted(event.request_id for event in recorded)
    places = [(event["recorded_at"], event["id"]) for event in events]
    assert places == sorted(places, reverse=True)


async def test_what_is_recorded_meanwhile_moves_no_page(api: TestApi, connection: Connection) -> None:
    await record_usage(connection, [usage_event(f"old-{number}", at=datetime.now(UTC)) for number in range(10)])
    first = await read(api, limit=6)
    await record_usage(connection, [usage_event(f"new-{number}", at=datetime.now(UTC)) for number in range(5)])
    second = await read(api, limit=6, cursor=first["next_cursor"])
    assert sorted(request_ids(first["events"] + second["events"])) == sorted(f"old-{number}" for number in range(10))


@pytest.mark.parametrize(
    "narrowed",
    [
        {"customer_id": "acme"},
        {"team_id": "research"},
        {"virtual_key_id": "key-2"},
        {"virtual_key_id": "key-2", "team_id": "sales", "customer_id": "acme"},
        {"team_id": "nomads", "customer_id": "acme"},
        {"provider": "openai", "model": "gpt-4o"},
        {"status": "cancelled"},
        {"customer_id": "acme", "status": "error"},
        {"request_id": "request-77"},
        {"request_id": "no-such-request"},
    ],
)
@pytest.mark.parametrize("scanned", [5, 20_000])
async def test_filters_leave_what_matches_all_of_them_however_few_a_page_looks_at(
    api: TestApi,
    recorded: list[UsageEvent],
    narrowed: dict[str, str],
    scanned: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(usage_ledger, "_SCANNED_PER_PAGE", scanned)
    matching = [event for event in recorded if all(getattr(event, name) == value for name, value in narrowed.items())]
    events = await read_all(api, **narrowed, limit=3)
    assert sorted(request_ids(events)) == sorted(event.request_id for event in matching)


async def test_a_time_is_that_of_recording(api: TestApi, connection: Connection) -> None:
    long_ago = datetime(2025, 1, 1, tzinfo=UTC)
    await record_usage(connection, [usage_event("r-1", at=long_ago)])
    recorded_at = (await read(api))["events"][0]["recorded_at"]
    later = (datetime.fromisoformat(recorded_at) + timedelta(microseconds=1)).isoformat().replace("+00:00", "Z")
    assert len((await read(api, **{"from": recorded_at, "to": later}))["events"]) == 1
    assert (await read(api, **{"from": later}))["events"] == []
    assert (await read(api, to=recorded_at))["events"] == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"status": "lost"}, "query parameter 'status' must be one of: success, error, cancelled, expired, late"),
        ({"cursor": "WzEsLTFd"}, "query parameter 'cursor' must be the next_cursor of a page"),
        ({"cursor": "A"}, "query parameter 'cursor' must be the next_cursor of a page"),
        ({"cursor": "[1,2]"}, "query parameter 'cursor' must be the next_cursor of a page"),
        (
            {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
            "query parameter 'from' must not be after 'to'",
        ),
    ],
)
async def test_what_cannot_be_meant_is_refused(api: TestApi, query: dict[str, str], message: str) -> None:
    response = await api.get(EVENTS, params=query)
    assert (response.status, (await response.json())["error"]["message"]) == (400, message)
