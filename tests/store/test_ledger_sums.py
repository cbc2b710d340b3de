"""Sums: however many write at once, every total is the sum of what the ledger holds, to the last nano-dollar."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import pytest

from service.domain.meters import Meter
from service.domain.usage import UsageEvent
from service.store.ledger import Recorded, record_usage
from service.store.postgres import Connection, connect
from tests.factories import Factory, meter_of_budget, meter_of_rate_limit, usage_event

WRITERS = 8
BATCHES_PER_WRITER = 12
EVENTS_PER_BATCH = 60
REQUESTS = 1500

# What each total should be, by the ledger alone.
CHARGES_IN_LEDGER = """
    SELECT meter_id, epoch, window_start, sum(amount) AS used
      FROM usage_events, unnest(charge_meter_ids, charge_epochs, charge_window_starts, charge_amounts)
           AS charge (meter_id, epoch, window_start, amount)
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
TOTALS = "SELECT meter_id, epoch, window_start, used FROM meter_windows ORDER BY 1, 2, 3"
DAYS_IN_LEDGER = """
    SELECT (occurred_at AT TIME ZONE 'UTC')::date AS day, tenant_id, virtual_key_id, provider, model,
           coalesce(team_id, '') AS team, coalesce(customer_id, '') AS customer, count(*) AS requests,
           count(*) FILTER (WHERE status IN ('error', 'cancelled')) AS errors, sum(input_tokens) AS input_tokens,
           sum(output_tokens) AS output_tokens, sum(cached_input_tokens) AS cached_input_tokens,
           sum(cost_nanousd) AS cost_nanousd
      FROM usage_events GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7
"""
DAYS = """
    SELECT day, tenant_id, virtual_key_id, provider, model, coalesce(team_id, '') AS team,
           coalesce(customer_id, '') AS customer, requests, errors, input_tokens, output_tokens, cached_input_tokens,
           cost_nanousd
      FROM usage_daily ORDER BY 1, 2, 3, 4, 5, 6, 7
"""
HOURS_IN_LEDGER = DAYS_IN_LEDGER.replace(
    "(occurred_at AT TIME ZONE 'UTC')::date AS day", "date_trunc('hour', occurred_at, 'UTC') AS hour"
)
HOURS = DAYS.replace("day,", "hour,", 1).replace("usage_daily", "usage_hourly")
OWNERS_DAYS_IN_LEDGER = DAYS_IN_LEDGER.replace("virtual_key_id,", "").replace(", 7", "")
OWNERS_DAYS = DAYS.replace("virtual_key_id,", "").replace("usage_daily", "usage_daily_by_owner").replace(", 7", "")
SUMS = ((DAYS, DAYS_IN_LEDGER), (HOURS, HOURS_IN_LEDGER), (OWNERS_DAYS, OWNERS_DAYS_IN_LEDGER))


async def assert_explained(connection: Connection, kept: str, derived: str) -> None:
    rows = [tuple(row) for row in await connection.fetch(kept)]
    assert rows
    assert rows == [tuple(row) for row in await connection.fetch(derived)]


@pytest.fixture
async def meters(connection: Connection, make: Factory) -> list[tuple[str, Meter]]:
    """Six meters every event may be charged to: of one hot customer, its team and its virtual key."""
    customer = await make.customer()
    team = await make.team(customer_id=customer)
    key = await make.virtual_key(team_id=team)
    owners = ({"customer_id": customer}, {"team_id": team}, {"virtual_key_id": key})
    budgets = [await meter_of_budget(connection, await make.budget(**owner)) for owner in owners]
    limits = [await make.rate_limit(**owner) for owner in owners]
    return budgets + [await meter_of_rate_limit(connection, limit, "token") for limit in limits]


def chance_events(chance: random.Random, meters: list[tuple[str, Meter]]) -> list[UsageEvent]:
    """Events of two days, each charged to some of the meters in any order."""
    now = datetime.now(UTC)
    return [
        usage_event(
            f"request-{number}",
            *((*meter, chance.randrange(10**12)) for meter in chance.sample(meters, chance.randint(1, len(meters)))),
            at=now - timedelta(minutes=chance.randrange(2 * 24 * 60)),
            model=chance.choice(["gpt-4o", "gpt-4o-mini"]),
            team_id=chance.choice([None, "team"]),
            status=chance.choice(["success", "success", "error", "cancelled", "expired"]),
            input_tokens=chance.randrange(10**6),
            output_tokens=chance.randrange(10**6),
            cached_input_tokens=chance.randrange(10**6),
            cost_nanousd=chance.randrange(10**12),
        )
        for number in range(REQUESTS)
    ]


async def write_batches(database_url: str, batches: list[list[UsageEvent]]) -> list[Recorded]:
    connection = await connect(database_url)
    try:
        return [await record_usage(connection, batch) for batch in batches]
    finally:
        await connection.close()


async def test_writers_at_once_with_overlapping_batches_book_each_request_once(
    connection: Connection, database_url: str, meters: list[tuple[str, Meter]]
) -> None:
    chance = random.Random(1)
    events = chance_events(chance, meters)
    work = [[chance.sample(events, EVENTS_PER_BATCH) for _ in range(BATCHES_PER_WRITER)] for _ in range(WRITERS)]
    answers = await asyncio.gather(*(write_batches(database_url, batches) for batches in work))

    booked = Counter(
        request_id for recorded in answers for answer in recorded for request_id in answer.fresh_request_ids
    )
    reported = {event.request_id for batches in work for batch in batches for event in batch}
    assert booked == Counter(reported)
    assert await connection.fetchval("SELECT count(*) FROM usage_events") == len(reported)
    assert await connection.fetchval("SELECT count(*) FROM usage_requests") == len(reported)
    for kept, derived in ((TOTALS, CHARGES_IN_LEDGER), *SUMS):
        await assert_explained(connection, kept, derived)


async def test_writers_at_once_who_share_nothing_but_sums_of_time_do_not_block_each_other_for_good(
    connection: Connection, database_url: str
) -> None:
    chance = random.Random(3)
    at = datetime(2025, 6, 15, 12, tzinfo=UTC)
    work = [
        [
            [
                usage_event(f"{writer}-{batch}-{number}", at=at, virtual_key_id=f"key-{chance.randrange(40)}")
                for number in range(EVENTS_PER_BATCH)
            ]
            for batch in range(BATCHES_PER_WRITER)
        ]
        for writer in range(WRITERS)
    ]
    await asyncio.gather(*(write_batches(database_url, batches) for batches in work))
    for kept, derived in SUMS:
        await assert_explained(connection, kept, derived)


async def test_the_largest_answered_total_of_a_window_is_the_one_that_stands(
    connection: Connection, database_url: str, meters: list[tuple[str, Meter]]
) -> None:
    chance = random.Random(2)
    events = chance_events(chance, meters)
    batches = [events[start : start + 100] for start in range(0, REQUESTS, 100)]
    answers = await asyncio.gather(*(write_batches(database_url, batches[writer::3]) for writer in range(3)))
    largest: Counter[tuple[str, int, datetime]] = Counter()
    for window in (window for recorded in answers for answer in recorded for window in answer.windows):
        key = (window.meter_id, window.epoch, window.window_start)
        largest[key] = max(largest[key], window.used)
    stored = {tuple(row)[:3]: row["used"] for row in await connection.fetch(TOTALS)}
    assert largest == stored


async def test_the_daily_sums_count_per_utc_day_whatever_the_session_s_or_caller_s_time_zone(
    connection: Connection,
) -> None:
    await connection.execute("SET TIME ZONE 'Pacific/Auckland'")
    midnight = datetime(2025, 6, 15, tzinfo=UTC)
    tokyo = timezone(timedelta(hours=9))
    for number, at in enumerate((midnight - timedelta(microseconds=1), midnight, midnight.astimezone(tokyo))):
        await record_usage(connection, [usage_event(f"r{number}", at=at)])
    days = await connection.fetch("SELECT day::text, requests FROM usage_daily ORDER BY day")
    assert [tuple(row) for row in days] == [("2025-06-14", 1), ("2025-06-15", 2)]


async def test_the_daily_sums_have_one_row_per_owner_a_virtual_key_had(connection: Connection) -> None:
    now = datetime(2025, 6, 15, 12, tzinfo=UTC)
    owners: list[dict[str, str]] = [{}, {}, {"team_id": "t"}, {"team_id": "t", "customer_id": "c"}, {}]
    for number, owner in enumerate(owners):
        await record_usage(connection, [usage_event(f"r{number}", at=now, cost_nanousd=1, **owner)])
    days = await connection.fetch("SELECT team_id, customer_id, requests, cost_nanousd FROM usage_daily")
    assert {tuple(row) for row in days} == {(None, None, 3, 3), ("t", None, 1, 1), ("t", "c", 1, 1)}
