"""The ledger: what was acknowledged is there once, in its window, and every total can be explained from it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from service.domain.meters import Meter, MeterState, MeterWindow, Tenant
from service.domain.usage import UsageEvent
from service.domain.windows import from_us, window_at
from service.store.ledger import list_windows, load_meter_states, record_usage
from service.store.postgres import Connection
from tests.factories import Factory, meter_of_budget, meter_of_rate_limit, usage_event

BIGINT_MAX = 2**63 - 1
TABLES = ("usage_requests", "usage_events", "usage_daily", "meter_windows")

Owned = tuple[str, Meter]


@pytest.fixture
async def budget(connection: Connection, make: Factory) -> Owned:
    """The tenant and meter of a budget of one day."""
    return await meter_of_budget(connection, await make.budget(team_id=await make.team()))


@pytest.fixture
async def tokens(connection: Connection, make: Factory) -> Owned:
    """The tenant and meter of the token side of a rate limit of one hour."""
    return await meter_of_rate_limit(connection, await make.rate_limit(customer_id=await make.customer()), "token")


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


async def window_of(connection: Connection, owned: Owned, used: int, *, at: datetime) -> MeterWindow:
    """The total as it should be answered: with the tenant the meter is in now."""
    tenant_id, meter = owned
    layout = await connection.fetchval("SELECT layout FROM tenants WHERE id = $1", tenant_id)
    return MeterWindow(meter.id, Tenant(tenant_id, layout), meter.epoch, window_at(meter.rule, at).start, used)


async def used_now(connection: Connection, owned: Owned, *, now: datetime) -> int:
    states = await load_meter_states(connection, [owned[1]], now=now)
    return states[owned[1].id].used


async def row_counts(connection: Connection) -> dict[str, int]:
    return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}


async def test_an_event_is_answered_with_the_totals_it_made(
    connection: Connection, budget: Owned, tokens: Owned, now: datetime
) -> None:
    recorded = await record_usage(connection, [usage_event("r1", (*budget, 70), (*tokens, 1200), at=now)])
    assert recorded.fresh_request_ids == {"r1"}
    assert set(recorded.windows) == {
        await window_of(connection, budget, 70, at=now),
        await window_of(connection, tokens, 1200, at=now),
    }


async def test_the_answered_totals_are_absolute(connection: Connection, budget: Owned, now: datetime) -> None:
    for number in range(1, 4):
        batch = [usage_event(f"r{number}-{event}", (*budget, 10), at=now) for event in range(5)]
        recorded = await record_usage(connection, batch)
        assert recorded.windows == (await window_of(connection, budget, 50 * number, at=now),)


async def test_a_repeated_batch_changes_nothing_and_answers_no_totals(
    connection: Connection, budget: Owned, now: datetime
) -> None:
    batch = [usage_event(f"r{number}", (*budget, 10), at=now) for number in range(5)]
    await record_usage(connection, batch)
    before = await row_counts(connection)
    again = await record_usage(connection, list(reversed(batch)))
    assert (again.fresh_request_ids, again.windows) == (frozenset(), ())
    assert await row_counts(connection) == before
    assert await used_now(connection, budget, now=now) == 50


async def test_of_an_overlapping_batch_only_what_is_new_counts(
    connection: Connection, budget: Owned, now: datetime
) -> None:
    events = [usage_event(f"r{number}", (*budget, 10**number), at=now) for number in range(4)]
    await record_usage(connection, events[:2])
    recorded = await record_usage(connection, events[1:])
    assert recorded.fresh_request_ids == {"r2", "r3"}
    assert recorded.windows == (await window_of(connection, budget, 1111, at=now),)


async def test_another_report_under_a_known_request_id_changes_nothing(
    connection: Connection, budget: Owned, now: datetime
) -> None:
    await record_usage(connection, [usage_event("r1", (*budget, 10), at=now)])
    other = usage_event("r1", (*budget, 99), at=now, fingerprint=b"another", model="another")
    assert (await record_usage(connection, [other])).fresh_request_ids == frozenset()
    assert await connection.fetchval("SELECT fingerprint FROM usage_requests") == b"r1"
    assert await connection.fetchval("SELECT model FROM usage_events") == ""
    assert await used_now(connection, budget, now=now) == 10


async def test_a_batch_that_repeats_a_request_id_is_refused_whole(
    connection: Connection, budget: Owned, now: datetime
) -> None:
    batch = [usage_event(request_id, (*budget, 10), at=now) for request_id in ("r1", "r2", "r1")]
    with pytest.raises(ValueError, match="a batch holds each request id once"):
        await record_usage(connection, batch)
    assert await row_counts(connection) == dict.fromkeys(TABLES, 0)


async def test_an_event_without_charges_is_in_the_ledger_all_the_same(connection: Connection, now: datetime) -> None:
    recorded = await record_usage(connection, [usage_event("r1", at=now)])
    assert (recorded.fresh_request_ids, recorded.windows) == (frozenset({"r1"}), ())
    assert await row_counts(connection) == {**dict.fromkeys(TABLES, 1), "meter_windows": 0}


async def test_an_empty_batch_is_no_batch(connection: Connection) -> None:
    recorded = await record_usage(connection, [])
    assert (recorded.fresh_request_ids, recorded.windows) == (frozenset(), ())


async def test_every_field_of_an_event_is_kept(
    connection: Connection, budget: Owned, tokens: Owned, now: datetime
) -> None:
    fields: dict[str, Any] = {
        "virtual_key_id": 'key "1" ключ',
        "team_id": "t",
        "customer_id": "c",
        "provider": "openai",
        "model": "gpt-4o\\🔑",
        "status": "cancelled",
        "input_tokens": BIGINT_MAX,
        "output_tokens": 2,
        "cached_input_tokens": 3,
        "cost_nanousd": 10**15,
        "priced": False,
    }
    event = usage_event("r1", (*tokens, 5), (*budget, 7), at=now, **fields)
    await record_usage(connection, [event])
    row = await connection.fetchrow("SELECT * FROM usage_events")
    assert row is not None
    assert {field: row[field] for field in (*fields, "request_id", "occurred_at")} == {
        **fields,
        "request_id": "r1",
        "occurred_at": now,
    }
    arrays = ("charge_meter_ids", "charge_epochs", "charge_window_starts", "charge_amounts")
    assert set(zip(*(row[array] for array in arrays), strict=True)) == {
        (charge.meter_id, charge.epoch, from_us(charge.window_start_us), charge.amount) for charge in event.charges
    }


async def test_a_late_event_counts_in_its_own_window(
    connection: Connection, budget: Owned, tokens: Owned, now: datetime
) -> None:
    late = now - timedelta(hours=3)
    await record_usage(connection, [usage_event("r1", (*tokens, 5), at=now)])
    recorded = await record_usage(connection, [usage_event("r2", (*tokens, 70), at=late)])
    assert recorded.windows == (await window_of(connection, tokens, 70, at=late),)
    assert await used_now(connection, tokens, now=now) == 5
    assert await used_now(connection, tokens, now=late) == 70


async def test_a_window_nobody_used_stands_at_zero(
    connection: Connection, budget: Owned, tokens: Owned, now: datetime
) -> None:
    await record_usage(connection, [usage_event("r1", (*budget, 5), at=now)])
    meters = [budget[1], tokens[1]]
    tomorrow = now + timedelta(days=1)
    assert await load_meter_states(connection, meters, now=now) == {
        budget[1].id: MeterState(1, window_at(budget[1].rule, now).start, 5),
        tokens[1].id: MeterState(1, window_at(tokens[1].rule, now).start, 0),
    }
    assert await used_now(connection, budget, now=tomorrow) == 0
    assert await load_meter_states(connection, [], now=now) == {}


async def test_another_epoch_stands_at_zero_until_it_is_used(
    connection: Connection, budget: Owned, now: datetime
) -> None:
    tenant_id, meter = budget
    await record_usage(connection, [usage_event("r1", (*budget, 5), at=now)])
    reset = (tenant_id, Meter(meter.id, meter.epoch + 1, meter.rule))
    assert await used_now(connection, reset, now=now) == 0
    await record_usage(connection, [usage_event("r2", (*reset, 3), at=now)])
    assert await used_now(connection, reset, now=now) == 3
    assert await used_now(connection, budget, now=now) == 5


UNSOUND: dict[str, dict[str, Any]] = {
    "negative tokens": {"input_tokens": -1},
    "negative cached tokens": {"cached_input_tokens": -1},
    "negative cost": {"cost_nanousd": -1},
    "a call of more than a million dollars": {"cost_nanousd": 10**15 + 1},
    "an unknown status": {"status": "refunded"},
    "a request id that is too long": {"request_id": "x" * 256},
    "an empty request id": {"request_id": ""},
}


@pytest.mark.parametrize("fault", UNSOUND)
async def test_one_unsound_event_keeps_its_whole_batch_out(
    connection: Connection, budget: Owned, now: datetime, fault: str
) -> None:
    sound = usage_event("sound", (*budget, 10), at=now)
    fields = {"request_id": "unsound"} | UNSOUND[fault]
    unsound = usage_event(fields.pop("request_id"), (*budget, 10), at=now, **fields)
    with pytest.raises(asyncpg.CheckViolationError):
        await record_usage(connection, [sound, unsound])
    assert await row_counts(connection) == dict.fromkeys(TABLES, 0)
    assert (await record_usage(connection, [sound])).windows == (await window_of(connection, budget, 10, at=now),)


@pytest.mark.parametrize("used", [0, 100])
async def test_a_total_is_never_charged_down(connection: Connection, budget: Owned, now: datetime, used: int) -> None:
    await record_usage(connection, [usage_event("r1", (*budget, used), at=now)])
    with pytest.raises(asyncpg.CheckViolationError):
        await record_usage(connection, [usage_event("r2", (*budget, -1), at=now)])
    assert await used_now(connection, budget, now=now) == used


def events_beyond_64_bits(budget: Owned, now: datetime) -> list[UsageEvent]:
    return [usage_event("r1", (*budget, BIGINT_MAX), at=now), usage_event("r2", (*budget, 1), at=now)]


async def test_a_total_beyond_64_bits_is_an_error_and_does_not_wrap(
    connection: Connection, budget: Owned, now: datetime
) -> None:
    largest, more = events_beyond_64_bits(budget, now)
    await record_usage(connection, [largest])
    with pytest.raises(asyncpg.NumericValueOutOfRangeError):
        await record_usage(connection, [more])
    assert await used_now(connection, budget, now=now) == BIGINT_MAX


async def test_a_batch_beyond_64_bits_is_an_error_and_does_not_wrap(
    connection: Connection, budget: Owned, now: datetime
) -> None:
    with pytest.raises(asyncpg.NumericValueOutOfRangeError):
        await record_usage(connection, events_beyond_64_bits(budget, now))
    assert await row_counts(connection) == dict.fromkeys(TABLES, 0)


async def test_all_totals_can_be_read_page_by_page(
    connection: Connection, budget: Owned, tokens: Owned, now: datetime
) -> None:
    hours = [now - timedelta(hours=hour) for hour in range(5)]
    events = [usage_event(f"r{hour}", (*tokens, 1), (*budget, 1), at=at) for hour, at in enumerate(hours)]
    written = (await record_usage(connection, events)).windows
    pages, last = [], None
    while page := await list_windows(connection, last, limit=2):
        assert len(page) <= 2
        pages += page
        last = page[-1]
    assert sorted(pages, key=repr) == sorted(written, key=repr)
