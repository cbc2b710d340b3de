"""The ledger's partitions: made ahead, used, filled with what came before them, and dropped when they are old."""

import asyncio
from datetime import datetime, timedelta
from itertools import count

import pytest

from service.governance.maintenance.work import Retention
from service.store import ledger_days
from service.store.ledger import record_usage
from service.store.ledger_days import DAYS_AHEAD, add_days
from service.store.postgres import Connection, connect
from tests.conftest import Clock
from tests.factories import usage_event
from tests.governance.maintenance.conftest import NOW, Maintain, book_at, booked, partitions
from tests.store.racing import open_beside

KEEP_FOR_EVER = Retention(ledger_days=0, idempotency_days=7)
DAY = timedelta(days=1)
FIRST_KEPT = datetime.fromisoformat("2026-10-21T00:00:00+00:00")


async def test_today_and_the_days_ahead_get_a_partition_each(connection: Connection, run: Maintain) -> None:
    outcome = await run()
    days = [f"{NOW + number * DAY:%Y%m%d}" for number in range(DAYS_AHEAD + 1)]
    assert list(await partitions(connection)) == [*days, "default"]
    assert [step.done() for step in outcome.steps] == [
        f"added the ledger's partition of {NOW + number * DAY:%Y-%m-%d}" for number in range(DAYS_AHEAD + 1)
    ]


async def test_run_again_it_has_nothing_to_do(run: Maintain) -> None:
    await run()
    outcome = await run()
    assert (outcome.steps, outcome.failed, outcome.skipped) == ([], [], False)


async def test_usage_is_booked_into_the_partition_of_its_day(connection: Connection) -> None:
    now = await connection.fetchval("SELECT now()")
    await add_days(connection, now=now)
    await record_usage(connection, [usage_event("r1", at=now)])
    recorded_at = await connection.fetchval("SELECT recorded_at FROM usage_events")
    assert (await partitions(connection))[f"{recorded_at:%Y%m%d}"] == [recorded_at]
    assert [await connection.fetchval("SELECT id FROM usage_events")] == [1]


async def test_a_migration_leaves_a_large_default_partition_to_maintenance(
    connection: Connection, run: Maintain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_days, "_LARGE_BYTES", 0)
    await book_at(connection, NOW - DAY)
    await add_days(connection, now=NOW)
    assert list(await partitions(connection)) == ["default"]
    await run()
    assert len(await partitions(connection)) == DAYS_AHEAD + 3


async def test_a_read_of_some_days_reads_their_partitions_only(connection: Connection, run: Maintain) -> None:
    await run()
    plan = await connection.fetch(
        f"EXPLAIN SELECT FROM usage_events WHERE recorded_at >= '{NOW:%Y%m%d}Z' AND recorded_at < '{NOW + DAY:%Y%m%d}Z'"
    )
    assert f"usage_events_{NOW:%Y%m%d}" in str(plan)
    assert f"usage_events_{NOW + DAY:%Y%m%d}" not in str(plan)


async def test_a_partition_has_the_indexes_and_the_rules_of_the_ledger(connection: Connection, run: Maintain) -> None:
    await book_at(connection, NOW - DAY)
    await run()

    async def facts(table: str) -> tuple[object, ...]:
        indexes = await connection.fetch("SELECT indexdef FROM pg_indexes WHERE tablename = $1", table)
        rules = await connection.fetch(
            "SELECT pg_get_constraintdef(oid) AS rule FROM pg_constraint WHERE conrelid = $1::text::regclass", table
        )
        return (
            sorted(row["indexdef"].split(" USING ")[1] for row in indexes),
            sorted(row["rule"] for row in rules),
        )

    for day in (NOW - DAY, NOW):
        assert await facts(f"usage_events_{day:%Y%m%d}") == await facts("usage_events_default")


async def test_partitions_older_than_the_retention_go_and_what_is_younger_stays(
    connection: Connection, run: Maintain, clock: Clock
) -> None:
    for age_days in range(42, 0, -7):
        clock.now = NOW - age_days * DAY
        await run()
    times = [FIRST_KEPT - timedelta(microseconds=1), FIRST_KEPT, NOW - 35 * DAY, NOW - DAY, NOW]
    await book_at(connection, *times)
    clock.now = NOW
    outcome = await run()
    assert await booked(connection) == [time for time in sorted(times) if time >= FIRST_KEPT]
    assert "20261020" not in await partitions(connection)
    assert "20261021" in await partitions(connection)
    assert "dropped usage_events_20261020, of usage recorded before 2026-10-21 00:00 UTC" in [
        step.done() for step in outcome.steps
    ]


async def test_kept_for_ever_nothing_is_dropped_however_old(connection: Connection, run: Maintain) -> None:
    times = [NOW - 4000 * DAY, NOW - 1000 * DAY, NOW]
    await book_at(connection, *times)
    await connection.execute("INSERT INTO usage_daily VALUES ('2001-01-01', 't', 'k', 'p', 'm')")
    await run(retention=KEEP_FOR_EVER)
    assert await booked(connection) == times
    assert await connection.fetchval("SELECT count(*) FROM usage_daily") == 1


async def test_a_partition_somebody_else_made_is_dropped_by_what_is_in_it(
    connection: Connection, run: Maintain
) -> None:
    await connection.execute(
        "CREATE TABLE of_september PARTITION OF usage_events FOR VALUES FROM ('2026-09-01Z') TO ('2026-10-01Z')"
    )
    await connection.execute(
        "CREATE TABLE of_october PARTITION OF usage_events FOR VALUES FROM ('2026-10-01Z') TO ('2026-11-01Z')"
    )
    await connection.execute(
        "CREATE TABLE of_old PARTITION OF usage_events FOR VALUES FROM (MINVALUE) TO ('2026-09-01Z')"
    )
    await connection.execute("SET timezone TO 'Asia/Tokyo'")
    await run()
    left = await partitions(connection)
    assert "of_october" in left
    assert not {"of_september", "of_old"} & left.keys()


async def test_what_landed_in_the_default_partition_is_moved_to_its_day_s(
    connection: Connection, run: Maintain, clock: Clock
) -> None:
    times = [NOW - 3 * DAY, NOW - 3 * DAY + timedelta(hours=1), NOW - DAY]
    await book_at(connection, *times)
    ids = await connection.fetch("SELECT id, request_id FROM usage_events ORDER BY id")
    outcome = await run()
    left = await partitions(connection)
    assert left["default"] == []
    assert left["20261117"] == times[:2]
    assert left["20261119"] == times[2:]
    assert await connection.fetch("SELECT id, request_id FROM usage_events ORDER BY id") == ids
    assert [step.done() for step in outcome.steps if step.verb == "move"] == [
        "moved 2 events to the ledger's partition of 2026-11-17",
        "moved 1 events to the ledger's partition of 2026-11-19",
    ]


async def test_rows_of_today_stay_in_the_default_partition_until_the_day_is_over(
    connection: Connection, run: Maintain, clock: Clock
) -> None:
    await book_at(connection, NOW)
    await run()
    assert (await partitions(connection))["default"] == [NOW]
    assert "20261120" not in await partitions(connection)
    clock.now = datetime.fromisoformat("2026-11-21T00:30:00+00:00")
    await run()
    assert (await partitions(connection))["default"] == [NOW]
    clock.forward(hours=1)
    await run()
    assert (await partitions(connection))["20261120"] == [NOW]


async def test_a_day_larger_than_a_step_is_moved_whole(
    connection: Connection, run: Maintain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_days, "_MOVED_PER_STATEMENT", 3)
    times = [NOW - DAY + timedelta(seconds=number // 2) for number in range(10)]
    await book_at(connection, *times)
    told: list[tuple[str, int]] = []
    await run(progress=lambda *step: told.append(step))
    assert (await partitions(connection))["20261119"] == times
    assert [number for what, number in told if "moved" in what] == [3, 6, 9, 10]


async def test_what_is_older_than_the_retention_goes_from_the_default_partition_too(
    connection: Connection, run: Maintain
) -> None:
    await book_at(connection, NOW - 100 * DAY, FIRST_KEPT - DAY, FIRST_KEPT)
    outcome = await run()
    assert await booked(connection) == [FIRST_KEPT]
    assert "20261020" not in await partitions(connection)
    assert "deleted 2 rows of usage_events_default" in [step.done() for step in outcome.steps]


async def test_a_run_that_was_killed_half_way_through_a_move_leaves_the_next_one_a_whole_day(
    connection: Connection, run: Maintain
) -> None:
    await book_at(connection, NOW - DAY, NOW)
    # What is committed before the move itself.
    await connection.execute("CALL close_usage_day('2026-11-15')")
    await book_at(connection, NOW)
    await run()
    assert (await partitions(connection))["20261119"] == [NOW - DAY]
    assert await booked(connection) == [NOW - DAY, NOW, NOW]
    assert (
        await connection.fetchval("SELECT count(*) FROM pg_constraint WHERE conname LIKE 'usage_events_day_mov%'") == 0
    )


async def test_while_somebody_reads_the_ledger_for_long_others_are_not_made_to_wait_for_maintenance(
    connection: Connection, run: Maintain, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_days, "_LOCK_ATTEMPTS", 2)
    monkeypatch.setattr(ledger_days, "_LOCK_PAUSE_SECONDS", 0)
    await book_at(connection, NOW - DAY)
    before = await partitions(connection)
    reader = await connect(database_url)
    async with reader.transaction():
        await reader.fetch("SELECT * FROM usage_events")
        outcome = await run()
        assert outcome.failed
        assert await partitions(connection) == before
    await reader.close()
    assert (await run()).failed == []
    assert (await partitions(connection))["20261119"] == [NOW - DAY]


async def test_writers_and_readers_beside_it_lose_nothing_and_see_every_event_once(
    connection: Connection, run: Maintain, database_url: str, clock: Clock
) -> None:
    """Readers sum up the ledger of yesterday, which is moved meanwhile; writers book into today's."""
    clock.now = await connection.fetchval("SELECT now()")
    old = [clock.now - 2 * DAY + timedelta(milliseconds=number) for number in range(2000)]
    await book_at(connection, *old)
    done = asyncio.Event()
    acknowledged: list[str] = []

    async def write(writer: int) -> None:
        own = await connect(database_url)
        for number in count():
            if done.is_set() and number >= 20:
                break
            request_id = f"{writer}/{number}"
            recorded = await record_usage(own, [usage_event(request_id, at=clock.now)])
            acknowledged.extend(recorded.fresh_request_ids)
        await own.close()

    async def read() -> int:
        own = await connect(database_url)
        reads = 0
        while not done.is_set() or reads < 20:
            async with own.transaction(isolation="repeatable_read", readonly=True):
                await own.execute("SELECT 1")
                found = await own.fetchval("SELECT count(*) FROM usage_events WHERE virtual_key_id = 'none'")
            assert found == len(old)
            reads += 1
        await own.close()
        return reads

    async def maintain_again_and_again() -> None:
        for _ in range(3):
            assert (await run()).failed == []
            await connection.execute("DROP TABLE IF EXISTS usage_events_dropped")
        done.set()

    await asyncio.gather(*(write(writer) for writer in range(4)), read(), read(), maintain_again_and_again())
    ledger = await connection.fetch("SELECT request_id FROM usage_events WHERE virtual_key_id <> 'none'")
    assert sorted(row["request_id"] for row in ledger) == sorted(acknowledged)
    assert (await partitions(connection))[f"{clock.now - 2 * DAY:%Y%m%d}"] == old


async def test_usage_reported_in_the_moment_its_day_gets_a_partition_is_booked_into_it(
    connection: Connection, database_url: str
) -> None:
    now = await connection.fetchval("SELECT now()")
    other = await connect(database_url)
    async with open_beside(connection, lambda: record_usage(other, [usage_event("r1", at=now)])) as begin:
        await connection.fetchval("SELECT add_usage_day($1)", now.date())
        assert not await begin()
    recorded_at = await connection.fetchval("SELECT recorded_at FROM usage_events")
    assert (await partitions(connection))[f"{now:%Y%m%d}"] == [recorded_at]
    await other.close()


async def test_a_dry_run_says_all_of_it_and_changes_nothing(connection: Connection, run: Maintain) -> None:
    await connection.execute(
        "CREATE TABLE of_september PARTITION OF usage_events FOR VALUES FROM ('2026-09-01Z') TO ('2026-10-01Z')"
    )
    await book_at(connection, NOW - 100 * DAY, NOW - 60 * DAY, NOW - 2 * DAY, NOW)
    before = await partitions(connection)
    planned = await run(dry_run=True)
    assert await partitions(connection) == before
    done = await run()
    assert planned.steps == done.steps
    assert {step.verb for step in planned.steps} == {"add", "drop", "move", "delete"}
    assert planned.steps[-1].planned() == "would add the ledger's partition of 2026-11-27"
