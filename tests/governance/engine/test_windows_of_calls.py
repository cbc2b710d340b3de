"""A call belongs to the windows it was admitted in, whatever happens before it is reported."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from service.store.postgres import Connection
from tests.conftest import Clock
from tests.factories import Factory
from tests.gateway import VALUE, standing
from tests.governance.engine.conftest import NewWorker
from tests.governance.engine.worker import NANO, Worker, held_in_redis, windows_of

DAY = timedelta(days=1)


async def make_key(make: Factory, **columns: Any) -> str:
    return await make.virtual_key(id="key", value=VALUE, allow_all_providers=True, **columns)


async def make_every_meter(make: Factory, clock: Clock) -> None:
    """Budget `b` of half a day, tokens `t` of an hour, requests `q` of a minute, and parallel calls."""
    key = await make_key(make, max_parallel_requests=5)
    await make.budget(id="b", virtual_key_id=key, reset_duration="12h", anchored_at=clock.now)
    limits = {"token_reset_duration": "1h", "request_max_limit": 60, "request_reset_duration": "1m"}
    await make.rate_limit(id="r", virtual_key_id=key, anchored_at=clock.now, **limits)


def used_and_held(answer: Any) -> dict[str, tuple[float, float]]:
    """By kind, before the call that asked; it asks for nothing of what is counted in amounts."""
    shown = {each["limit"]["kind"]: each["limit"] for each in answer["limits"]}
    ones = {"requests": 1, "parallel": 1} if answer["allowed"] else {}
    return {kind: (limit["used"], limit["held"] - ones.get(kind, 0)) for kind, limit in shown.items()}


async def look(worker: Worker) -> dict[str, tuple[float, float]]:
    """What is used and held now, without holding anything."""
    return used_and_held(await worker.authorize(estimated_cost=1e6))


async def test_a_call_reported_after_every_window_ended_leaves_the_new_ones_alone(
    worker: Worker, make: Factory, clock: Clock, connection: Connection, redis: Redis
) -> None:
    await make_every_meter(make, clock)
    began = clock.now
    await worker.authorize(request_id="long", estimated_cost=3, estimated_input_tokens=100, ttl=86_400)
    assert await look(worker) == {"budget": (0, 3), "tokens": (0, 100), "requests": (0, 1), "parallel": (0, 1)}
    clock.forward(hours=12)
    assert await look(worker) == {"budget": (0, 0), "tokens": (0, 0), "requests": (0, 0), "parallel": (0, 1)}
    await worker.authorize(request_id="short", estimated_cost=1, estimated_input_tokens=10)
    await worker.report("long", cost=4, input_tokens=200)
    assert await look(worker) == {"budget": (0, 1), "tokens": (0, 10), "requests": (0, 1), "parallel": (0, 1)}
    await worker.report("short", cost=1, input_tokens=10)
    assert await look(worker) == {"budget": (1, 0), "tokens": (10, 0), "requests": (1, 0), "parallel": (0, 0)}
    assert await windows_of(connection, "budget:b") == [(1, began, 4 * NANO), (1, clock.now, NANO)]
    assert await windows_of(connection, "tokens:r") == [(1, began, 200), (1, clock.now, 10)]
    assert await held_in_redis(redis) == {}


async def test_windows_shorter_than_an_hour_are_counted_in_redis_only(
    worker: Worker, make: Factory, clock: Clock, connection: Connection, redis: Redis
) -> None:
    key = await make_key(make)
    limits = {"token_max_limit": 100, "token_reset_duration": "59m59.999999s", "request_max_limit": 9}
    await make.rate_limit(id="r", virtual_key_id=key, anchored_at=clock.now, **limits, request_reset_duration="1m")
    await worker.authorize(request_id="held", estimated_input_tokens=50)
    for _ in range(2):
        # The second report is a duplicate, and counts no second time.
        await worker.report("held", input_tokens=60, cost=0)
        await worker.report("not held", input_tokens=20, cost=0)
    assert await look(worker) == {"tokens": (80, 0), "requests": (2, 0)}
    assert await connection.fetchval("SELECT count(*) FROM meter_windows") == 0
    clock.forward(seconds=60)
    assert await look(worker) == {"tokens": (80, 0), "requests": (0, 0)}
    await redis.flushall()
    assert await look(worker) == {"tokens": (0, 0), "requests": (0, 0)}
    refused = await worker.authorize(estimated_input_tokens=101)
    assert refused["decision"] == "token_limited"


async def test_a_window_begins_at_its_instant(worker: Worker, make: Factory, clock: Clock) -> None:
    await make.budget(id="b", virtual_key_id=await make_key(make), anchored_at=clock.now)
    began = clock.now
    await worker.report("call", cost=2)
    for moved, used, start in ((-timedelta(microseconds=1), 2, began), (timedelta(), 0, began + DAY)):
        clock.now = began + DAY + moved
        shown = standing(await worker.authorize(estimated_cost=1e6), "b")
        assert (shown["used"], datetime.fromisoformat(shown["window_start"])) == (used, start)
        assert datetime.fromisoformat(shown["resets_at"]) == start + DAY


class Calendar(msgspec.Struct, frozen=True):
    """A period in a time zone, an instant in 2026, and the window it is in."""

    duration: str
    time_zone: str
    at: str
    start: str
    end: str
    quarter_start_month: int | None = None


CALENDARS = (
    Calendar("1d", "Europe/Berlin", "07-01T21:59:59.999999", "06-30T22:00", "07-01T22:00"),
    Calendar("1d", "Europe/Berlin", "07-01T22:00:00", "07-01T22:00", "07-02T22:00"),
    Calendar("1d", "Europe/Berlin", "03-29T12:00:00", "03-28T23:00", "03-29T22:00"),
    Calendar("1w", "UTC", "07-05T23:59:59", "06-29T00:00", "07-06T00:00"),
    Calendar("1M", "Asia/Tokyo", "07-31T14:59:59", "06-30T15:00", "07-31T15:00"),
    Calendar("1Q", "UTC", "04-30T23:59:59", "04-01T00:00", "07-01T00:00"),
    Calendar("1Q", "America/New_York", "05-01T03:59:59", "02-01T05:00", "05-01T04:00", quarter_start_month=2),
    Calendar("1Y", "Asia/Kolkata", "07-31T14:59:59", "2025-12-31T18:30", "12-31T18:30"),
)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text if text.startswith("20") else f"2026-{text}").replace(tzinfo=UTC)


@pytest.mark.parametrize("calendar", CALENDARS, ids=lambda each: f"{each.duration} at {each.at} in {each.time_zone}")
async def test_calendar_windows_follow_their_owners_time_zone(
    worker: Worker, make: Factory, clock: Clock, connection: Connection, calendar: Calendar
) -> None:
    customer = await make.customer(calendar_aligned=True, time_zone=calendar.time_zone)
    await make_key(make, customer_id=customer)
    quarter = {"quarter_start_month": calendar.quarter_start_month}
    await make.budget(id="b", customer_id=customer, reset_duration=calendar.duration, **quarter)
    clock.now, start, end = instant(calendar.at), instant(calendar.start), instant(calendar.end)
    shown = standing(await worker.authorize(request_id="call", estimated_cost=1, ttl=86_400), "b")
    assert (datetime.fromisoformat(shown["window_start"]), datetime.fromisoformat(shown["resets_at"])) == (start, end)
    clock.now = end
    shown = standing(await worker.authorize(estimated_cost=1e6), "b")
    assert (datetime.fromisoformat(shown["window_start"]), shown["held"]) == (end, 0)
    await worker.report("call", cost=1)
    assert await windows_of(connection, "budget:b") == [(1, start, NANO)]


async def test_a_reset_during_a_call_starts_from_zero_and_the_call_stays_in_the_old_epoch(
    worker: Worker, make: Factory, clock: Clock, connection: Connection, redis: Redis
) -> None:
    await make.budget(id="b", virtual_key_id=await make_key(make), anchored_at=clock.now)
    await worker.report("before", cost=2)
    await worker.authorize(request_id="under way", estimated_cost=3)
    await connection.execute("UPDATE budgets SET epoch = epoch + 1")
    worker.doubt()
    assert await look(worker) == {"budget": (0, 0)}
    await worker.authorize(request_id="after", estimated_cost=1)
    await worker.report("under way", cost=5)
    assert await look(worker) == {"budget": (0, 1)}
    await worker.report("after", cost=1)
    assert await look(worker) == {"budget": (1, 0)}
    assert await windows_of(connection, "budget:b") == [(1, clock.now, 7 * NANO), (2, clock.now, NANO)]
    assert await held_in_redis(redis) == {}


async def test_a_worker_that_has_not_heard_of_a_reset_is_told_by_the_counters(
    new_worker: NewWorker, make: Factory, clock: Clock, connection: Connection
) -> None:
    await make.budget(id="b", virtual_key_id=await make_key(make), max_limit_nanousd=NANO)
    late, early = new_worker(), new_worker()
    await late.report("before", cost=1)
    assert (await late.authorize())["decision"] == "budget_exceeded"
    await connection.execute("UPDATE budgets SET epoch = epoch + 1")
    assert (await early.authorize(estimated_cost=0.25))["allowed"]
    # Its policy is of the first epoch still, in which there is no room.
    answer = await late.authorize(estimated_cost=0.5)
    assert (answer["allowed"], standing(answer, "b")["used"], standing(answer, "b")["held"]) == (True, 0, 0.75)
    assert not (await late.authorize(estimated_cost=0.5))["allowed"]


async def test_a_period_that_changed_is_a_new_epoch_for_calls_under_way(
    worker: Worker, make: Factory, clock: Clock, connection: Connection
) -> None:
    await make.budget(id="b", virtual_key_id=await make_key(make), anchored_at=clock.now)
    await worker.authorize(request_id="under way", estimated_cost=3)
    await connection.execute("UPDATE budgets SET reset_duration = '1w'")
    worker.doubt()
    shown = standing(await worker.authorize(estimated_cost=1e6), "b")
    assert (shown["held"], datetime.fromisoformat(shown["resets_at"])) == (0, clock.now + 7 * DAY)
    await worker.report("under way", cost=3)
    assert await look(worker) == {"budget": (0, 0)}
    assert await windows_of(connection, "budget:b") == [(1, clock.now, 3 * NANO)]


async def test_a_maximum_that_changed_counts_for_the_same_window(
    worker: Worker, make: Factory, clock: Clock, connection: Connection
) -> None:
    await make.budget(id="b", virtual_key_id=await make_key(make), anchored_at=clock.now)
    await worker.authorize(request_id="under way", estimated_cost=3)
    await worker.report("before", cost=2)
    for dollars, room in ((6, 1), (5, 0), (4, 0), (8, 3)):
        await connection.execute("UPDATE budgets SET max_limit_nanousd = $1", dollars * NANO)
        worker.doubt()
        shown = standing(await worker.authorize(estimated_cost=1e6), "b")
        assert (shown["max"], shown["used"], shown["held"], shown["remaining"]) == (dollars, 2, 3, room)
        assert not (await worker.authorize(estimated_cost=room + 1e-9))["allowed"]
    assert (await worker.authorize(estimated_cost=3))["allowed"]


async def test_redis_losing_everything_during_a_call_loses_holds_and_no_usage(
    worker: Worker, make: Factory, clock: Clock, connection: Connection, redis: Redis
) -> None:
    await make_every_meter(make, clock)
    await worker.report("before", cost=2, input_tokens=20)
    await worker.authorize(request_id="under way", estimated_cost=3, estimated_input_tokens=30)
    await redis.flushall()
    assert await look(worker) == {"budget": (2, 0), "tokens": (20, 0), "requests": (0, 0), "parallel": (0, 0)}
    assert not await worker.release("under way")
    assert (await worker.report("under way", cost=4, input_tokens=40)).status == "recorded"
    assert await look(worker) == {"budget": (6, 0), "tokens": (60, 0), "requests": (1, 0), "parallel": (0, 0)}
    assert await windows_of(connection, "budget:b") == [(1, clock.now, 6 * NANO)]


async def test_a_replica_whose_clock_is_behind_goes_by_the_window_that_has_begun(
    new_worker: NewWorker, make: Factory, clock: Clock, connection: Connection, redis: Redis
) -> None:
    await make_every_meter(make, clock)
    ahead = Clock()
    ahead.now = clock.now + DAY
    early, late = new_worker(on_clock=ahead), new_worker()
    await late.report("before", cost=9)
    await early.authorize(request_id="early", estimated_cost=4)
    answer = await late.authorize(request_id="late", estimated_cost=5)
    assert (answer["allowed"], datetime.fromisoformat(standing(answer, "b")["window_start"])) == (True, ahead.now)
    assert not (await late.authorize(estimated_cost=2))["allowed"]
    for request_id, worker in (("late", early), ("early", late)):
        await worker.report(request_id, cost=1)
    assert await windows_of(connection, "budget:b") == [(1, clock.now, 9 * NANO), (1, ahead.now, 2 * NANO)]
    for worker in (early, late):
        assert standing(await worker.authorize(estimated_cost=1e6), "b")["used"] == 2
    assert await held_in_redis(redis) == {}


async def test_usage_of_a_window_that_is_over_is_not_shown_in_the_one_that_is_not(
    worker: Worker, make: Factory, clock: Clock, connection: Connection
) -> None:
    await make.budget(id="b", virtual_key_id=await make_key(make), anchored_at=clock.now)
    began = clock.now
    clock.now += DAY
    await worker.report("now", cost=1)
    await worker.report("late", cost=5, occurred_at=began)
    assert await look(worker) == {"budget": (1, 0)}
    assert await windows_of(connection, "budget:b") == [(1, began, 5 * NANO), (1, clock.now, NANO)]
