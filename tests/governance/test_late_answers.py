"""Questions and answers of Redis that overtake each other: a read shows all that was merged before it began."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from service.counters.client import CounterClient, ScriptCall, open_counters
from service.domain.sealing import Sealer
from service.settings import Settings
from service.store.customers import PageQuery
from service.store.postgres import Connection, Store
from tests.conftest import Clock
from tests.factories import Factory, meter_of_budget
from tests.governance.using import WHOLE, Replica

# All of the one customer there is; none shares another's run.
SLOW, FAST, LAST = (PageQuery(limit=limit) for limit in (1, 2, 3))


class Gate:
    """Where one call waits: `reached` when it is there, let on when `opened`."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def pass_through(self) -> None:
        self.reached.set()
        await self.opened.wait()


class SlowReplica:
    """A replica whose line to the real Redis can hold back the next question or the next answer."""

    def __init__(self, replica: Replica, counters: CounterClient) -> None:
        self._replica = replica
        self._run = counters.run
        self._question: Gate | None = None
        self._answer: Gate | None = None
        counters.run = self._run_slowly  # type: ignore[method-assign]  # the line is slow, the client is the real one

    async def usage(self, query: PageQuery = WHOLE) -> int:
        (customer,) = await self._replica.read(query)
        return int(customer["budget"]["current_usage"])

    def hold_question(self) -> Gate:
        self._question = Gate()
        return self._question

    def hold_answer(self) -> Gate:
        self._answer = Gate()
        return self._answer

    async def _run_slowly(self, calls: Sequence[ScriptCall]) -> list[bytes]:
        question, self._question = self._question, None
        answer, self._answer = self._answer, None
        if question is not None:
            await question.pass_through()
        answers = await self._run(calls)
        if answer is not None:
            await answer.pass_through()
        return answers


@pytest.fixture
async def slow_replica(settings: Settings, store: Store, sealer: Sealer, clock: Clock) -> AsyncIterator[SlowReplica]:
    counters = open_counters(settings)
    yield SlowReplica(Replica(store, counters, sealer=sealer, clock=clock), counters)
    await counters.close()


async def test_a_late_answer_does_not_take_the_place_of_a_newer_one(
    slow_replica: SlowReplica, replica: Replica, make: Factory, connection: Connection
) -> None:
    await make.customer(id="acme")
    meter = await meter_of_budget(connection, await make.budget(customer_id="acme"))
    await replica.book((*meter, 10**9))
    assert await slow_replica.usage() == 1
    async with asyncio.timeout(10):
        of_slow = slow_replica.hold_answer()
        slow = asyncio.create_task(slow_replica.usage(SLOW))
        await of_slow.reached.wait()

        await replica.book((*meter, 10**9))
        assert await slow_replica.usage(FAST) == 2

        of_last = slow_replica.hold_answer()
        last = asyncio.create_task(slow_replica.usage(LAST))
        await of_last.reached.wait()  # with "nothing changed" since FAST
        of_slow.opened.set()
        assert await slow == 1
        of_last.opened.set()
        assert await last == 2
        assert await slow_replica.usage() == 2


async def test_a_reset_between_configuration_and_counters_shows_the_new_epoch(
    slow_replica: SlowReplica, replica: Replica, make: Factory, connection: Connection
) -> None:
    await make.customer(id="acme")
    await replica.book((*await meter_of_budget(connection, await make.budget(id="b", customer_id="acme")), 5 * 10**9))
    assert await slow_replica.usage() == 5
    async with asyncio.timeout(10):
        gate = slow_replica.hold_question()
        # A page that is read for the first time asks Redis after Postgres, not at once.
        reading = asyncio.create_task(slow_replica.usage(SLOW))
        await gate.reached.wait()  # with the old epoch in its hands
        await connection.execute("UPDATE budgets SET epoch = epoch + 1")
        await replica.book((*await meter_of_budget(connection, "b"), 2 * 10**9))
        gate.opened.set()
        assert await reading == 2


async def test_a_cold_load_that_is_overtaken_does_not_put_its_older_total_into_redis(
    slow_replica: SlowReplica, replica: Replica, make: Factory, connection: Connection
) -> None:
    await make.customer(id="acme")
    meter = await meter_of_budget(connection, await make.budget(customer_id="acme"))
    await replica.book((*meter, 10**9), merge=False)
    async with asyncio.timeout(10):
        of_read = slow_replica.hold_answer()
        reading = asyncio.create_task(slow_replica.usage())
        await of_read.reached.wait()
        of_merge = slow_replica.hold_question()
        of_read.opened.set()
        await of_merge.reached.wait()  # with the total of one dollar loaded
        await replica.book((*meter, 10**9))
        of_merge.opened.set()
        assert await reading in (1, 2)
        assert await slow_replica.usage() == 2
        assert await slow_replica.usage() == 2
