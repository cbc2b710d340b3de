"""What goes by age, and what never does."""

from datetime import datetime, timedelta

import pytest

from service.domain.meters import budget_meter_id
from service.governance.maintenance import pruning
from service.governance.maintenance.pruning import PRUNED
from service.governance.maintenance.work import Retention
from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.factories import Factory, usage_event
from tests.governance.maintenance.conftest import NOW, RETENTION, Maintain

DAY = timedelta(days=1)
A_MOMENT = timedelta(microseconds=1)
HOUR = timedelta(hours=1)


async def keep_request_id(connection: Connection, request_id: str, recorded_at: datetime) -> None:
    await connection.execute("INSERT INTO usage_requests VALUES ($1, '', $2)", request_id, recorded_at)


async def request_ids(connection: Connection) -> list[str]:
    return [row["request_id"] for row in await connection.fetch("SELECT request_id FROM usage_requests ORDER BY 1")]


async def use_windows(connection: Connection, meter_id: str, *starts: datetime, epoch: int = 1) -> None:
    """Windows that were used when they began."""
    await connection.executemany(
        "INSERT INTO meter_windows (meter_id, epoch, window_start, used, updated_at) "
        "VALUES ($1, $2, $3::timestamptz, 7, $3::timestamptz)",
        [(meter_id, epoch, start) for start in starts],
    )


async def windows(connection: Connection, meter_id: str) -> list[datetime]:
    rows = await connection.fetch("SELECT window_start FROM meter_windows WHERE meter_id = $1 ORDER BY 1", meter_id)
    return [row["window_start"] for row in rows]


async def test_request_ids_and_idempotency_keys_go_when_they_are_older_than_they_are_known(
    connection: Connection, run: Maintain
) -> None:
    for request_id, age in (("old", 7 * DAY + A_MOMENT), ("kept", 7 * DAY), ("new", A_MOMENT)):
        await keep_request_id(connection, request_id, NOW - age)
        await connection.execute(
            "INSERT INTO idempotency_keys VALUES ('ops', $1, '', 200, '', $2)", request_id, NOW - age
        )
    outcome = await run()
    assert await request_ids(connection) == ["kept", "new"]
    keys = await connection.fetch("SELECT key FROM idempotency_keys ORDER BY key")
    assert [row["key"] for row in keys] == ["kept", "new"]
    assert [step.done() for step in outcome.steps if step.verb == "delete"] == [
        "deleted 1 rows of usage_requests",
        "deleted 1 rows of idempotency_keys",
    ]


async def test_a_repeat_is_known_as_one_until_its_id_is_pruned_and_is_booked_again_after(
    connection: Connection, run: Maintain
) -> None:
    event = usage_event("r1", at=NOW)
    await record_usage(connection, [event])
    await connection.execute("UPDATE usage_requests SET recorded_at = $1", NOW - 7 * DAY)
    await run()
    assert (await record_usage(connection, [event])).fresh_request_ids == frozenset()
    await connection.execute("UPDATE usage_requests SET recorded_at = $1", NOW - 8 * DAY)
    await run()
    assert (await record_usage(connection, [event])).fresh_request_ids == {"r1"}


async def test_sums_of_usage_go_with_the_events_they_are_sums_of(connection: Connection, run: Maintain) -> None:
    for day in ("2026-10-20", "2026-10-21", "2026-11-20"):
        await connection.execute("INSERT INTO usage_daily VALUES ($1::text::date, 't', 'k', 'p', 'm')", day)
        await connection.execute("INSERT INTO usage_daily_by_owner VALUES ($1::text::date, 't', 'p', 'm')", day)
        await connection.execute(
            "INSERT INTO usage_hourly VALUES ($1::text::date::timestamp AT TIME ZONE 'UTC', 't', 'k', 'p', 'm')", day
        )
    await connection.execute("SET timezone TO 'UTC'")
    await run()
    for column, table in (("day", "usage_daily"), ("day", "usage_daily_by_owner"), ("hour::date", "usage_hourly")):
        days = await connection.fetch(f"SELECT {column}::text AS day FROM {table} ORDER BY 1")
        assert [row["day"] for row in days] == ["2026-10-21", "2026-11-20"]


async def test_more_than_a_batch_is_deleted_in_several(
    connection: Connection, run: Maintain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_BATCH_ROWS", 3)
    for number in range(10):
        await keep_request_id(connection, f"old-{number}", NOW - 8 * DAY)
    told: list[tuple[str, int]] = []
    outcome = await run(progress=lambda *step: told.append(step))
    assert await request_ids(connection) == []
    assert [number for what, number in told if "usage_requests" in what] == [3, 6, 9]
    assert "deleted 10 rows of usage_requests" in [step.done() for step in outcome.steps]


@pytest.mark.parametrize("pruned", PRUNED, ids=lambda pruned: str(pruned.rows.table))
async def test_what_is_pruned_is_found_by_an_index(connection: Connection, pruned: pruning.Pruned) -> None:
    await connection.execute("SET enable_seqscan = off")
    plan = await connection.fetch(
        f"EXPLAIN SELECT ctid FROM {pruned.rows.table} WHERE {pruned.rows.time_column} < '2026-01-01' "
        f"ORDER BY {pruned.rows.time_column} LIMIT 10"
    )
    assert "Index" in str(plan)
    assert "Sort" not in str(plan)


@pytest.mark.parametrize("kind", ["budget", "tokens", "requests"])
async def test_short_windows_go_after_a_month_but_never_the_latest_of_a_meter(
    connection: Connection, make: Factory, run: Maintain, kind: str
) -> None:
    team_id = await make.team()
    if kind == "budget":
        limit_id = await make.budget(team_id=team_id, reset_duration="60m")
    else:
        limit_id = await make.rate_limit(team_id=team_id, token_reset_duration="1h", request_reset_duration="3600s")
    old = [NOW - 60 * DAY + number * HOUR for number in range(30)]
    young = [NOW - 30 * DAY, NOW - 29 * DAY]
    meter_id = f"{kind}:{limit_id}"
    await use_windows(connection, meter_id, *old, *young)
    await run(retention=Retention(ledger_days=0, idempotency_days=7))
    # 24 are the latest, of which two are young.
    assert await windows(connection, meter_id) == old[-22:] + young


async def test_young_short_windows_stay_however_many_there_are(
    connection: Connection, make: Factory, run: Maintain
) -> None:
    meter_id = budget_meter_id(await make.budget(team_id=await make.team(), reset_duration="1h"))
    hours = [NOW - 29 * DAY + number * HOUR for number in range(100)]
    await use_windows(connection, meter_id, *hours)
    await run()
    assert await windows(connection, meter_id) == hours


@pytest.mark.parametrize("reset_duration", ["2h", "1d", "1M", "1Y"])
async def test_longer_windows_are_kept_as_long_as_the_ledger(
    connection: Connection, make: Factory, run: Maintain, reset_duration: str
) -> None:
    meter_id = budget_meter_id(await make.budget(team_id=await make.team(), reset_duration=reset_duration))
    starts = [NOW - number * DAY for number in range(400, 0, -10)]
    await use_windows(connection, meter_id, *starts)
    await run(retention=Retention(ledger_days=350, idempotency_days=7))
    assert await windows(connection, meter_id) == [NOW - number * DAY for number in range(350, 0, -10)]


async def test_the_current_window_stays_however_long_ago_it_began(
    connection: Connection, make: Factory, run: Maintain
) -> None:
    budget_id = await make.budget(team_id=await make.team(), reset_duration="10Y", anchored_at=NOW - 3000 * DAY)
    await use_windows(connection, budget_meter_id(budget_id), NOW - 3000 * DAY)
    await run()
    assert await windows(connection, budget_meter_id(budget_id)) == [NOW - 3000 * DAY]


async def test_the_latest_windows_are_those_of_the_latest_epochs(
    connection: Connection, make: Factory, run: Maintain
) -> None:
    meter_id = budget_meter_id(await make.budget(team_id=await make.team(), reset_duration="1d"))
    await use_windows(connection, meter_id, *(NOW - number * DAY for number in range(100, 70, -1)), epoch=1)
    await use_windows(connection, meter_id, *(NOW - number * DAY for number in range(200, 180, -1)), epoch=2)
    await run()
    rows = await connection.fetch("SELECT epoch, count(*) FROM meter_windows GROUP BY epoch ORDER BY epoch")
    assert [tuple(row) for row in rows] == [(1, 4), (2, 20)]


async def test_windows_of_limits_that_are_gone_stay_as_long_as_the_ledger(
    connection: Connection, make: Factory, run: Maintain
) -> None:
    await use_windows(connection, "budget:gone", NOW - 31 * DAY, NOW - 29 * DAY, NOW - DAY)
    await run()
    assert await windows(connection, "budget:gone") == [NOW - 29 * DAY, NOW - DAY]


async def test_windows_of_more_than_a_page_are_all_looked_at(
    connection: Connection, make: Factory, run: Maintain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_BATCH_ROWS", 7)
    meter_id = budget_meter_id(await make.budget(team_id=await make.team(), reset_duration="1d"))
    kept = [NOW - 100 * DAY + number * HOUR for number in range(24)]
    await use_windows(connection, meter_id, *kept)
    # Several changed at once, as those of a batch of usage.
    for number in range(40):
        await use_windows(connection, f"budget:gone-{number}", NOW - 90 * DAY)
    outcome = await run()
    assert await connection.fetchval("SELECT count(*) FROM meter_windows") == len(kept)
    assert "deleted 40 windows of meters" in [step.done() for step in outcome.steps]


async def test_a_dry_run_counts_windows_and_rows_and_deletes_none(
    connection: Connection, make: Factory, run: Maintain
) -> None:
    budget_id = await make.budget(team_id=await make.team(), reset_duration="1h")
    await use_windows(connection, budget_meter_id(budget_id), *(NOW - 60 * DAY + number * HOUR for number in range(30)))
    await use_windows(connection, "budget:gone", NOW - 31 * DAY)
    await keep_request_id(connection, "old", NOW - 8 * DAY)
    planned = await run(dry_run=True, retention=RETENTION)
    assert await connection.fetchval("SELECT count(*) FROM meter_windows") == 31
    assert await request_ids(connection) == ["old"]
    texts = [step.planned() for step in planned.steps]
    assert "would delete 6 short windows of meters" in texts
    assert "would delete 1 rows of usage_requests" in texts
