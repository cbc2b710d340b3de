"""Of many who would maintain, one does; and requests never depend on it."""

import asyncio
from datetime import timedelta

import pytest

from service.governance.changes.run import Changes
from service.governance.maintenance import run as runs
from service.governance.maintenance.run import Maintainer
from service.settings import Settings
from service.store.maintenance import MaintenanceError
from service.store.postgres import Connection, Store, StoreUnavailableError, connect
from tests.conftest import Clock
from tests.governance.maintenance.conftest import RETENTION, Maintain, partitions

INTERVAL = timedelta(hours=1)


@pytest.fixture
def maintainer(store: Store, changes: Changes, settings: Settings, clock: Clock) -> Maintainer:
    return Maintainer(
        store,
        changes,
        database_url=settings.database_url,
        retention=RETENTION,
        interval=INTERVAL,
        clock=clock,
    )


async def test_two_at_once_do_the_work_once(run: Maintain, connection: Connection) -> None:
    outcomes = await asyncio.gather(*(run() for _ in range(4)))
    assert sum(len(outcome.steps) for outcome in outcomes) == 8
    assert len(await partitions(connection)) == 9


async def test_while_another_maintains_nothing_is_done(
    run: Maintain, connection: Connection, database_url: str
) -> None:
    other = await connect(database_url)
    async with other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock(4701201980)")
        outcome = await run()
        assert outcome.skipped
        assert len(await partitions(connection)) == 1
    await other.close()
    assert len((await run()).steps) == 8


async def test_a_turn_comes_once_an_interval_whoever_asks(
    maintainer: Maintainer, clock: Clock, store: Store, changes: Changes, settings: Settings
) -> None:
    replica = Maintainer(
        store, changes, database_url=settings.database_url, retention=RETENTION, interval=INTERVAL, clock=clock
    )
    first = await asyncio.gather(*(one.maintain_when_due() for one in (maintainer, replica, maintainer, replica)))
    assert sum(outcome is not None for outcome in first) == 1
    clock.forward(hours=1, microseconds=-1)
    assert await replica.maintain_when_due() is None
    clock.forward(microseconds=1)
    assert await replica.maintain_when_due() is not None
    assert await maintainer.maintain_when_due() is None


async def test_in_the_background_it_says_what_it_did_and_ends_when_told(
    maintainer: Maintainer, connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    stop = asyncio.Event()
    stop.set()
    await maintainer.watch(stop)
    assert len(await partitions(connection)) == 1
    stop.clear()
    watching = asyncio.create_task(maintainer.watch(stop))
    while len(await partitions(connection)) < 9:
        assert not watching.done()
    stop.set()
    await watching
    assert "added the ledger's partition of 2026-11-27" in capsys.readouterr().out


@pytest.mark.parametrize("error", [StoreUnavailableError("gone"), MaintenanceError("42P07: there is one")])
async def test_what_fails_is_left_for_the_next_turn(
    maintainer: Maintainer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    stop = asyncio.Event()
    turns = 0

    async def fail(*_: object) -> None:
        nonlocal turns
        turns += 1
        stop.set()
        raise error

    monkeypatch.setattr(runs, "maintain", fail)
    await maintainer.watch(stop)
    assert turns == 1


@pytest.mark.own_database
async def test_what_postgres_refuses_is_told_without_its_detail(run: Maintain, connection: Connection) -> None:
    await connection.execute("CREATE TABLE usage_events_20261120 (other integer)")
    with pytest.raises(StoreUnavailableError, match="the database refuses"):
        await run()
    await connection.execute("DROP TABLE usage_events_20261120")
    await connection.execute(
        "CREATE FUNCTION refuse_drop() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'not this' USING DETAIL = 'a secret'; END $$;"
        "CREATE TRIGGER refuse BEFORE DELETE ON usage_requests FOR EACH ROW EXECUTE FUNCTION refuse_drop();"
        "INSERT INTO usage_requests VALUES ('old', '', '2020-01-01Z')"
    )
    with pytest.raises(MaintenanceError, match=r"^P0001: not this$"):
        await run()
