"""`GET /api/governance/usage`: sums of any group and time are those of the events, to the last nano-dollar."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest

from service.domain.usage import UsageEvent
from service.domain.usage_reports import GROUP_NAMES
from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.api.calls import API
from tests.api.ledger_events import SUMMED, chance_events, summed
from tests.conftest import Clock, TestApi
from tests.factories import usage_event

USAGE = f"{API}/usage"
# A month with a whole day's hours at each end, far from any edge of the clock's.
FROM = datetime(2026, 3, 1, 7, tzinfo=UTC)
TO = datetime(2026, 4, 2, 19, tzinfo=UTC)
EVENTS = 600
FIELDS = {"customer": "customer_id", "team": "team_id", "virtual_key": "virtual_key_id"}
EVERY_GROUPING = [names for count in range(6) for names in combinations(GROUP_NAMES, count)]


async def record(connection: Connection, events: Sequence[UsageEvent]) -> None:
    for start in range(0, len(events), 100):
        await record_usage(connection, events[start : start + 100])


@pytest.fixture
async def events(connection: Connection) -> list[UsageEvent]:
    """Recorded; from a week before FROM to a week after TO."""
    span = (TO - FROM).total_seconds() / 86400
    made = chance_events(random.Random(1), EVENTS, until=TO + timedelta(days=7), days=span + 14)
    await record(connection, made)
    return made


async def read(api: TestApi, **query: Any) -> Any:
    """Decoded with exact money."""
    named = {"from": query.pop("from_at", FROM), "to": query.pop("to_at", TO)}
    instants = {name: instant.isoformat().replace("+00:00", "Z") for name, instant in named.items() if instant}
    response = await api.get(USAGE, params={**instants, **query})
    text = await response.text()
    assert response.status == 200, text
    return json.loads(text, parse_float=Decimal)


async def read_all(api: TestApi, **query: Any) -> tuple[list[Any], Any]:
    """The rows of every page, and the totals of the first."""
    page = await read(api, **query)
    rows, totals = page["usage"], page["totals"]
    for _ in range(2000):
        if "next_cursor" not in page:
            return rows, totals
        page = await read(api, **query | {"cursor": page["next_cursor"], "from_at": None, "to_at": None})
        assert "totals" not in page
        assert page["count"] == len(page["usage"]) <= page["limit"]
        rows += page["usage"]
    raise AssertionError("the pages do not end")


def numbers(row: Any) -> dict[str, int]:
    cost_nanousd = row["cost"] * 10**9
    assert cost_nanousd == int(cost_nanousd)
    return {name: int(cost_nanousd) if name == "cost_nanousd" else row[name] for name in SUMMED}


def within(events: Sequence[UsageEvent], from_at: datetime = FROM, to_at: datetime = TO) -> list[UsageEvent]:
    return [event for event in events if from_at <= event.occurred_at < to_at]


def start_of(interval: str | None, at: datetime) -> str | None:
    start = at.replace(minute=0, second=0, microsecond=0)
    if interval == "day":
        start = start.replace(hour=0)
    if interval == "month":
        start = start.replace(hour=0, day=1)
    return None if interval is None else max(start, FROM).isoformat().replace("+00:00", "Z")


def expected(events: Sequence[UsageEvent], names: Sequence[str], interval: str | None) -> dict[Any, dict[str, int]]:
    return summed(
        within(events),
        lambda event: (
            start_of(interval, event.occurred_at),
            *(getattr(event, FIELDS.get(name, name)) for name in names),
        ),
    )


def keyed(rows: Sequence[Any], names: Sequence[str]) -> dict[Any, dict[str, int]]:
    """By start and group; no group is there twice."""
    keys = [(row.get("start"), *(row[FIELDS.get(name, name)] for name in names)) for row in rows]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, map(numbers, rows), strict=True))


@pytest.mark.parametrize("interval", [None, "hour", "day", "month"])
async def test_every_grouping_is_the_sum_of_its_events(api: TestApi, events: list[UsageEvent], interval: str) -> None:
    chosen = (
        EVERY_GROUPING if interval in (None, "month") else [(), ("customer",), ("virtual_key", "model"), GROUP_NAMES]
    )
    until = min(TO, FROM + timedelta(days=31)) if interval == "hour" else TO
    for names in chosen:
        query = {"group_by": ",".join(names)} | ({"interval": interval} if interval else {})
        rows, totals = await read_all(api, **query, to_at=until, limit=1000)
        in_time = within(events, to_at=until)
        assert keyed(rows, names) == expected(in_time, names, interval), names
        assert numbers(totals) == summed(in_time, lambda _: None)[None]


@pytest.mark.parametrize("group_by", ["", "customer", "virtual_key", "team,virtual_key,model", "provider,model"])
@pytest.mark.parametrize("interval", [None, "day", "month"])
@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_pages_of_any_size_have_each_group_once_and_in_order(
    api: TestApi, events: list[UsageEvent], group_by: str, interval: str | None, limit: int
) -> None:
    names = group_by.split(",") if group_by else []
    query = {"group_by": group_by} | ({"interval": interval} if interval else {})
    rows, _ = await read_all(api, **query, limit=limit)
    assert keyed(rows, names) == expected(events, names, interval)
    starts = [row.get("start", "") for row in rows]
    assert starts == sorted(starts)


@pytest.mark.parametrize(
    "narrowed",
    [
        {"customer_id": "acme"},
        {"team_id": "research"},
        {"virtual_key_id": "key-2"},
        {"virtual_key_id": "key-2", "team_id": "sales"},
        {"customer_id": "acme", "provider": "openai", "model": "gpt-4o"},
        {"provider": "anthropic"},
        {"customer_id": "nobody"},
    ],
)
async def test_filters_leave_what_matches_all_of_them(
    api: TestApi, events: list[UsageEvent], narrowed: dict[str, str]
) -> None:
    matching = [event for event in events if all(getattr(event, name) == value for name, value in narrowed.items())]
    for names in ((), ("virtual_key",), ("team", "model")):
        rows, totals = await read_all(api, **narrowed, group_by=",".join(names), limit=4)
        assert keyed(rows, names) == expected(matching, names, None)
        assert numbers(totals) == summed(within(matching), lambda _: None).get(None, dict.fromkeys(SUMMED, 0))


@pytest.mark.parametrize(
    ("from_at", "to_at"),
    [
        (datetime(2026, 3, 5, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)),
        (datetime(2026, 3, 5, 3, tzinfo=UTC), datetime(2026, 3, 5, 22, tzinfo=UTC)),
        (datetime(2026, 3, 5, 3, tzinfo=UTC), datetime(2026, 3, 6, 2, tzinfo=UTC)),
        (datetime(2026, 3, 5, 23, tzinfo=UTC), datetime(2026, 3, 7, 1, tzinfo=UTC)),
        (datetime(2026, 3, 5, 3, tzinfo=UTC), datetime(2026, 3, 5, 3, tzinfo=UTC)),
    ],
)
async def test_the_edges_of_a_time_are_counted_by_the_hour(
    api: TestApi, events: list[UsageEvent], from_at: datetime, to_at: datetime
) -> None:
    _, totals = await read_all(api, from_at=from_at, to_at=to_at)
    in_time = summed(within(events, from_at, to_at), lambda _: None)
    assert numbers(totals) == in_time.get(None, dict.fromkeys(SUMMED, 0))


async def test_an_hour_that_is_begun_counts_whole(api: TestApi, connection: Connection) -> None:
    hour = datetime(2026, 3, 5, 3, tzinfo=UTC)
    await record(connection, [usage_event(f"r{minute}", at=hour + timedelta(minutes=minute)) for minute in (0, 59, 60)])
    answer = await read(api, from_at=hour + timedelta(minutes=30), to_at=hour + timedelta(minutes=31))
    assert (answer["from"], answer["to"]) == ("2026-03-05T03:00:00Z", "2026-03-05T04:00:00Z")
    assert answer["totals"]["requests"] == 2


async def test_without_a_time_the_last_thirty_days_are_meant(
    api: TestApi, connection: Connection, clock: Clock
) -> None:
    ages = (timedelta(0), timedelta(days=29), timedelta(days=31))
    await record(connection, [usage_event(f"r{age}", at=clock.now - age) for age in ages])
    assert (await read(api, from_at=None, to_at=None))["totals"]["requests"] == 2


async def test_pages_go_on_with_the_time_they_began_with(api: TestApi, connection: Connection, clock: Clock) -> None:
    await record(connection, [usage_event(f"r{n}", at=clock.now, virtual_key_id=f"k{n}") for n in range(3)])
    first = await read(api, from_at=None, to_at=None, group_by="virtual_key", limit=2)
    clock.forward(days=60)
    rest = await read(api, from_at=None, to_at=None, group_by="virtual_key", limit=2, cursor=first["next_cursor"])
    assert [row["virtual_key_id"] for row in first["usage"] + rest["usage"]] == ["k0", "k1", "k2"]
    assert "next_cursor" not in rest


async def test_money_is_exact_at_any_size(api: TestApi, connection: Connection) -> None:
    amounts = [10**15, 10**15 - 1, 1]
    await record(connection, [usage_event(f"r{n}", at=FROM, cost_nanousd=amount) for n, amount in enumerate(amounts)])
    assert (await read(api))["totals"]["cost"] == Decimal(2000000)
    await record(connection, [usage_event("r3", at=FROM, cost_nanousd=123_456_789)])
    response = await api.get(USAGE, params={"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"})
    assert '"cost":2000000.123456789' in await response.text()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            {"group_by": "user"},
            "query parameter 'group_by' must be a list of: customer, team, virtual_key, provider, model",
        ),
        (
            {"group_by": "customer,"},
            "query parameter 'group_by' must be a list of: customer, team, virtual_key, provider, model",
        ),
        ({"interval": "week"}, "query parameter 'interval' must be one of: hour, day, month"),
        (
            {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
            "query parameter 'from' must not be after 'to'",
        ),
        (
            {"from": "2025-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"},
            "query parameters 'from' and 'to' must be at most 366 days apart",
        ),
        (
            {"from": "2026-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z", "interval": "hour"},
            "query parameters 'from' and 'to' must be at most 31 days apart",
        ),
        ({"limit": "-1"}, "query parameter 'limit' must be non-negative"),
        ({"cursor": "nonsense"}, "query parameter 'cursor' must be the next_cursor of a page"),
        ({"cursor": "WzEsMiwzLG51bGwsIlx1MDAwMCJd"}, "query parameter 'cursor' must be the next_cursor of a page"),
        (
            {"cursor": "WzAsNjE3MDAwMDAsMCxudWxsLCIiXQ"},
            "query parameters 'from' and 'to' must be at most 366 days apart",
        ),
    ],
)
async def test_what_cannot_be_meant_is_refused(api: TestApi, query: dict[str, str], message: str) -> None:
    response = await api.get(USAGE, params=query)
    assert (response.status, (await response.json())["error"]["message"]) == (400, message)


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
async def test_the_ends_of_the_calendar_are_no_fault(api: TestApi, instant: str) -> None:
    for query in ({"to": instant}, {"from": instant}, {"from": instant, "to": instant}):
        assert (await api.get(USAGE, params=query)).status in (200, 400)
