"""Reports at one time are booked together: each once, each answered for itself, and none lost with its caller."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from service.counters.client import CounterClient
from service.governance.measures import EngineMeasures
from service.governance.settlement.group_commit import GroupCommit
from service.governance.settlement.waiting import Booking
from service.store.postgres import Connection, Store, StoreUnavailableError
from tests.conftest import Clock
from tests.factories import Factory, meter_of_budget, usage_event
from tests.governance.outage import database_away
from tests.servers import Servers


class SlowStore(Store):
    """Each connection is given when `gate` is set; `failures` are raised first."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.uses = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures: list[Exception] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        self.uses += 1
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        async with self._inner.connection() as connection:
            yield connection


@pytest.fixture
def slow(store: Store) -> SlowStore:
    return SlowStore(store)


@pytest.fixture
async def commits(slow: SlowStore, counters: CounterClient, clock: Clock) -> AsyncIterator[GroupCommit]:
    group_commit = GroupCommit(slow, counters.batcher, measures=EngineMeasures(), clock=clock)
    yield group_commit
    slow.gate.set()
    await group_commit.close()


def booking(request_id: str, clock: Clock, **fields: Any) -> Booking:
    return Booking(event=usage_event(request_id, at=clock(), **fields))


async def booked(connection: Connection) -> list[str]:
    return [row["request_id"] for row in await connection.fetch("SELECT request_id FROM usage_events ORDER BY id")]


async def a_turn() -> None:
    """Let what was begun come to where it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_comes_during_a_commit_goes_together_in_the_next(
    commits: GroupCommit, slow: SlowStore, clock: Clock, connection: Connection
) -> None:
    slow.gate.clear()
    asking = [asyncio.ensure_future(commits.book([booking("first", clock)]))]
    await a_turn()
    asking += [asyncio.ensure_future(commits.book([booking(f"{number}", clock)])) for number in range(30)]
    await a_turn()
    slow.gate.set()
    assert await asyncio.gather(*asking) == [["recorded"]] * 31
    assert (slow.uses, len(await booked(connection))) == (2, 31)


async def test_a_second_commit_begins_when_it_is_worth_one_and_no_third(
    commits: GroupCommit, slow: SlowStore, clock: Clock, connection: Connection
) -> None:
    slow.gate.clear()
    sizes, uses = (1, 15, 1, 800), []
    asking = []
    for call, size in enumerate(sizes):
        bookings = [booking(f"{call}-{number}", clock) for number in range(size)]
        asking.append(asyncio.ensure_future(commits.book(bookings)))
        await a_turn()
        uses.append(slow.uses)
    assert uses == [1, 1, 2, 2]
    slow.gate.set()
    assert await asyncio.gather(*asking) == [["recorded"] * size for size in sizes]
    assert len(await booked(connection)) == sum(sizes)


async def test_one_id_in_two_commits_at_once_is_booked_once(
    commits: GroupCommit, slow: SlowStore, clock: Clock, connection: Connection
) -> None:
    slow.gate.clear()
    asking = [asyncio.ensure_future(commits.book([booking("a", clock)]))]
    await a_turn()
    again = [booking("a", clock, fingerprint=b"other"), *(booking(f"{number}", clock) for number in range(499))]
    asking.append(asyncio.ensure_future(commits.book(again)))
    await a_turn()
    assert slow.uses == 2
    slow.gate.set()
    (first,), (second, *others) = await asyncio.gather(*asking)
    assert {first, second} == {"recorded", "conflict"}
    assert (set(others), len(await booked(connection))) == ({"recorded"}, 500)


async def test_a_batch_is_bounded_and_answers_keep_their_order(
    commits: GroupCommit, slow: SlowStore, clock: Clock, connection: Connection
) -> None:
    await commits.book([booking("700", clock)])
    answers = await commits.book([booking(f"{number}", clock) for number in range(1200)])
    assert [number for number, answer in enumerate(answers) if answer != "recorded"] == [700]
    assert (answers[700], slow.uses, len(await booked(connection))) == ("duplicate", 1 + 3, 1200)


async def test_one_id_several_times_at_once_is_booked_once_whoever_sends_it(
    commits: GroupCommit, slow: SlowStore, clock: Clock, connection: Connection
) -> None:
    slow.gate.clear()
    same, other = booking("a", clock), booking("a", clock, fingerprint=b"other")
    asking = [asyncio.ensure_future(commits.book(each)) for each in ([same, other, same], [same], [other])]
    await a_turn()
    slow.gate.set()
    answers = await asyncio.gather(*asking)
    assert answers == [["recorded", "conflict", "duplicate"], ["duplicate"], ["conflict"]]
    assert await booked(connection) == ["a"]


async def test_without_postgres_everyone_is_told_and_the_same_may_be_sent_again(
    commits: GroupCommit, clock: Clock, connection: Connection, servers: Servers, database_url: str
) -> None:
    bookings = [booking(f"{number}", clock) for number in range(3)]
    async with database_away(servers.postgres_url, database_url):
        asking = [commits.book([each]) for each in bookings] + [commits.book(bookings)]
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreUnavailableError] * 4
    assert await commits.book(bookings) == ["recorded"] * 3
    assert await commits.book(bookings) == ["duplicate"] * 3


async def test_all_who_wait_are_told_of_an_outage_at_once(commits: GroupCommit, slow: SlowStore, clock: Clock) -> None:
    slow.failures = [StoreUnavailableError("away")] * 2
    slow.gate.clear()
    asking = [asyncio.ensure_future(commits.book([booking(f"{number}", clock)])) for number in range(1200)]
    await a_turn()
    slow.gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert {str(answer) for answer in answers} == {"away"}
    assert slow.uses == 2
    assert await commits.book([booking("0", clock)]) == ["recorded"]


async def test_what_cannot_be_booked_keeps_nobody_else_from_it(
    commits: GroupCommit, slow: SlowStore, clock: Clock, connection: Connection
) -> None:
    unfit = booking("unfit", clock, metadata={"a": "\x00"})  # past the checks: Postgres has no place for it
    slow.gate.clear()
    asking = [asyncio.ensure_future(commits.book([booking(f"{number}", clock)])) for number in range(3)]
    asking.insert(1, asyncio.ensure_future(commits.book([unfit])))
    await a_turn()
    slow.gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [answers[0], *answers[2:]] == [["recorded"]] * 3
    assert isinstance(answers[1], StoreUnavailableError)
    assert await booked(connection) == ["0", "1", "2"]


async def test_a_report_is_booked_though_its_caller_went_away(
    commits: GroupCommit, slow: SlowStore, clock: Clock, connection: Connection
) -> None:
    slow.gate.clear()
    gone = asyncio.ensure_future(commits.book([booking("of who went away", clock)]))
    waits = asyncio.ensure_future(commits.book([booking("of who waits", clock)]))
    await a_turn()
    gone.cancel()
    await a_turn()
    slow.gate.set()
    assert await waits == ["recorded"]
    assert sorted(await booked(connection)) == ["of who waits", "of who went away"]
    assert await commits.book([booking("of who went away", clock)]) == ["duplicate"]


async def test_closing_finishes_what_is_under_way_and_tells_redis(
    commits: GroupCommit, slow: SlowStore, clock: Clock, connection: Connection, redis: Redis, make: Factory
) -> None:
    await make.customer(id="acme")
    budget = await meter_of_budget(connection, await make.budget(id="b", customer_id="acme"))
    slow.gate.clear()
    asking = [
        asyncio.ensure_future(commits.book([Booking(event=usage_event(f"{number}", (*budget, 5), at=clock()))]))
        for number in range(600)
    ]
    await a_turn()
    closing = asyncio.ensure_future(commits.close())
    await a_turn()
    assert not closing.done()
    slow.gate.set()
    await closing
    assert all(asked.done() for asked in asking)
    (key,) = await redis.keys("gov:*:meters:*")
    stored: Any = await redis.hget(key, "budget:b")
    assert stored.endswith(b":3000")


async def test_more_than_can_wait_is_refused_and_one_id_very_often_is_no_work(
    commits: GroupCommit, slow: SlowStore, clock: Clock, connection: Connection
) -> None:
    slow.gate.clear()
    first, same = asyncio.ensure_future(commits.book([booking("first", clock)])), [booking("a", clock)]
    await a_turn()
    asking = [asyncio.ensure_future(commits.book(same * 1000)) for _ in range(20)]
    one_more = asyncio.ensure_future(commits.book(same))
    await a_turn()
    with pytest.raises(StoreUnavailableError, match="too many"):
        await one_more
    slow.gate.set()
    answers = [answer for answers in await asyncio.gather(*asking) for answer in answers]
    assert await first == ["recorded"]
    assert (answers.count("recorded"), answers.count("duplicate")) == (1, 19_999)
    assert slow.uses == 2
