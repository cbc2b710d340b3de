"""Changes run beside each other; one that met another half-way, or waited for long, runs again alone."""

import asyncio
from datetime import UTC, datetime

import pytest

from service.domain.sealing import Sealer
from service.governance.changes.change import Author, Change
from service.governance.changes.run import Answer, Changes, Work
from service.store.postgres import Connection, Store, StoreUnavailableError
from service.store.refusals import ConcurrentChangeError
from tests.factories import Factory
from tests.waiting import until

AUTHOR = Author(name="test", request_id="r")
DONE = Answer(200, b"{}")
LOCK_CUSTOMER = "SELECT FROM customers WHERE id = 'acme' FOR UPDATE"
ALONE = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted = $1"


@pytest.fixture
def changes(store: Store, sealer: Sealer) -> Changes:
    return Changes(store, sealer=sealer, clock=lambda: datetime.now(UTC))


async def until_someone_runs_alone(connection: Connection, *, granted: bool = True) -> None:
    """Or, when not `granted`, waits for it."""

    async def is_there() -> bool:
        return bool(await connection.fetchval(ALONE, granted))

    await until(is_there, seconds=5)


def meets_others(times: int, seen: list[bool], connection: Connection) -> Work:
    """Work that is told of another change so many times; notes whether it ran alone."""

    async def work(_: Change) -> Answer:
        seen.append(bool(await connection.fetchval(ALONE, True)))
        if len(seen) <= times:
            raise ConcurrentChangeError
        return DONE

    return work


async def test_two_changes_run_beside_each_other(changes: Changes) -> None:
    both = asyncio.Barrier(2)

    async def meet(_: Change) -> Answer:
        await both.wait()
        return DONE

    async with asyncio.timeout(5):
        await asyncio.gather(*(changes.run(meet, author=AUTHOR) for _ in range(2)))


async def test_a_change_that_met_another_runs_again_alone(changes: Changes, connection: Connection) -> None:
    seen: list[bool] = []
    assert await changes.run(meets_others(1, seen, connection), author=AUTHOR) == DONE
    assert seen == [False, True]


async def test_a_change_that_meets_others_again_and_again_ends(changes: Changes, connection: Connection) -> None:
    seen: list[bool] = []
    with pytest.raises(StoreUnavailableError):
        await changes.run(meets_others(99, seen, connection), author=AUTHOR)
    assert len(seen) < 10


async def test_who_runs_alone_waits_for_those_under_way(changes: Changes, connection: Connection) -> None:
    under_way, let_go = asyncio.Event(), asyncio.Event()

    async def other(_: Change) -> Answer:
        under_way.set()
        await let_go.wait()
        return DONE

    async def meet_one(_: Change) -> Answer:
        if not let_go.is_set():
            raise ConcurrentChangeError
        return DONE

    running = asyncio.create_task(changes.run(other, author=AUTHOR))
    await under_way.wait()
    again = asyncio.create_task(changes.run(meet_one, author=AUTHOR))
    await until_someone_runs_alone(connection, granted=False)
    let_go.set()
    assert await running == await again == DONE


async def test_a_change_that_waits_for_long_for_an_operator_s_row_is_done_when_it_is_let_go(
    changes: Changes, connection: Connection, make: Factory
) -> None:
    await make.customer(id="acme", name="before")

    async def rename(change: Change) -> Answer:
        await change.connection.execute("UPDATE customers SET name = 'after' WHERE id = 'acme'")
        return DONE

    operator = connection.transaction()
    await operator.start()
    await connection.execute(LOCK_CUSTOMER)
    running = asyncio.create_task(changes.run(rename, author=AUTHOR))
    await until_someone_runs_alone(connection)
    await operator.rollback()
    assert await running == DONE
    assert await connection.fetchval("SELECT name FROM customers") == "after"
