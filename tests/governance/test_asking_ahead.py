"""A read asks both stores at once, and takes what it was told ahead only for what the page really has."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from service.counters.client import CounterClient, CountersUnavailableError, ScriptCall
from service.domain.meters import Tenant
from service.governance.tree.ahead import Asked
from service.store.customers import PageQuery
from service.store.postgres import Connection, Store, StoreUnavailableError
from tests.conftest import Clock
from tests.factories import Factory, meter_of_budget
from tests.governance.using import Replica, decoded


async def no_answer(_: Sequence[ScriptCall]) -> list[bytes]:
    raise CountersUnavailableError("Redis does not answer")


@asynccontextmanager
async def no_connection() -> AsyncIterator[Connection]:
    await asyncio.sleep(0)
    raise StoreUnavailableError("Postgres does not answer")
    yield


async def make_customer(make: Factory, customer_id: str = "acme") -> None:
    await make.customer(id=customer_id)
    await make.budget(id=f"of {customer_id}", customer_id=customer_id)


@pytest.fixture
def questions(counters: CounterClient, monkeypatch: pytest.MonkeyPatch) -> "asyncio.Queue[int]":
    """How many calls each round of questions to Redis had, as soon as it is asked."""
    asked: asyncio.Queue[int] = asyncio.Queue()
    run = counters.run

    async def noted(calls: Sequence[ScriptCall]) -> list[bytes]:
        asked.put_nowait(len(calls))
        return await run(calls)

    monkeypatch.setattr(counters, "run", noted)
    return asked


def after_redis_was_asked(store: Store, questions: "asyncio.Queue[int]", monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on Postgres is asked only once Redis was."""
    connect = store.connection

    @asynccontextmanager
    async def connection() -> AsyncIterator[Connection]:
        async with asyncio.timeout(5):
            await questions.get()
        async with connect() as connection:
            yield connection

    monkeypatch.setattr(store, "connection", connection)


async def test_redis_is_asked_while_postgres_is(
    replica: Replica, store: Store, make: Factory, questions: "asyncio.Queue[int]", monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_customer(make)
    await replica.read()
    await make_customer(make, "another")  # what was on the page at first is not what is asked about later
    for _ in range(2):
        await replica.read()
        await replica.customer("acme")
    while not questions.empty():
        questions.get_nowait()
    after_redis_was_asked(store, questions, monkeypatch)
    await replica.read()
    await replica.customer("acme")
    assert questions.empty()  # what was asked ahead was all that had to be asked


async def test_what_a_page_has_more_or_less_than_before_shows(
    replica: Replica, make: Factory, connection: Connection
) -> None:
    await make_customer(make, "a")
    await make_customer(make, "b")
    await replica.book((*await meter_of_budget(connection, "of b"), 10**9))
    page = PageQuery(limit=2)
    for _ in range(2):
        await replica.read(page)
    await connection.execute("DELETE FROM customers WHERE id = 'a'")
    await make_customer(make, "c")
    await replica.book((*await meter_of_budget(connection, "of b"), 10**9))
    await replica.book((*await meter_of_budget(connection, "of c"), 5 * 10**9))
    for _ in range(2):
        customers = await replica.read(page)
        assert [(one["id"], one["budget"]["current_usage"]) for one in customers] == [("b", 2), ("c", 5)]


async def test_usage_booked_while_the_configuration_is_loaded_anew_shows_in_the_next_read(
    replica: Replica, make: Factory, connection: Connection
) -> None:
    await make_customer(make)
    for spent in range(1, 5):
        await connection.execute("UPDATE customers SET name = name || 'x'")
        reading = asyncio.create_task(replica.read())
        await replica.book((*await meter_of_budget(connection, "of acme"), 10**9))
        await reading
        (customer,) = await replica.read()
        assert customer["budget"]["current_usage"] == spent
        assert customer["name"].endswith("x" * spent)


async def test_windows_that_end_between_the_question_and_the_page_read_as_ended(
    replica: Replica, make: Factory, connection: Connection, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_customer(make)
    await replica.book((*await meter_of_budget(connection, "of acme"), 10**9))
    for _ in range(2):
        await replica.read()
    connect = replica.store.connection

    @asynccontextmanager
    async def a_day_later() -> AsyncIterator[Connection]:
        async with connect() as one:
            clock.forward(days=1)
            yield one

    monkeypatch.setattr(replica.store, "connection", a_day_later)
    (customer,) = await replica.read()
    assert customer["budget"]["current_usage"] == 0


@pytest.mark.parametrize("silent", ["redis", "postgres", "both"])
async def test_a_silent_store_is_answered_for_as_when_it_is_asked_alone(
    replica: Replica,
    make: Factory,
    counters: CounterClient,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    silent: str,
) -> None:
    await make_customer(make)
    for _ in range(2):
        await replica.read()
    if silent in ("redis", "both"):
        monkeypatch.setattr(counters, "run", no_answer)
    if silent in ("postgres", "both"):
        monkeypatch.setattr(store, "connection", no_connection)
        with pytest.raises(StoreUnavailableError):
            await replica.reader.page(PageQuery())
    else:
        tree = await replica.reader.page(PageQuery())
        assert (tree.usage_source, decoded(tree)[0]["id"]) == ("ledger", "acme")


async def test_a_failure_nobody_waits_for_is_not_complained_about(
    counters: CounterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    monkeypatch.setattr(counters, "run", no_answer)
    asked = Asked(counters, {Tenant("customer:acme", 1): "1"})
    await asyncio.sleep(0)
    asked.end()
    del asked
    gc.collect()
    assert complaints == []
