"""Reads under concurrent edits and usage: every answer is one state of the database, and never an old one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from service.counters.client import CounterClient
from service.domain.sealing import Sealer
from service.store.customers import PageQuery
from service.store.postgres import Connection, Store, connect
from tests.conftest import Clock, TestApi
from tests.factories import Factory, meter_of_budget
from tests.governance.using import Replica
from tests.reading import read_customers

PAIRS = 3
EDITS_OF_A_PAIR = 25
READERS = 3


class Seen:
    """What every answer of a reader is held to; `number` is that of the last edit seen, for each pair."""

    def __init__(self) -> None:
        self.answers = 0
        self.numbers = [0] * PAIRS

    def check(self, customers: list[Any]) -> list[int]:
        by_id = {customer["id"]: customer for customer in customers}
        numbers = []
        for pair in range(PAIRS):
            a, b = by_id[f"{pair}a"], by_id[f"{pair}b"]
            # All of a pair is changed in one transaction: the two names, a transfer between budgets, a key that moves.
            number = int(a["name"].split()[1])
            assert int(b["name"].split()[1]) == number
            assert a["budget"]["max_limit"] + b["budget"]["max_limit"] == 200
            assert a["budget"]["max_limit"] == 100 + number
            homes = [owner["id"] for owner in (a, b) for _ in owner["virtual_keys"]]
            assert homes == [f"{pair}{'ab'[number % 2]}"]
            numbers.append(number)
        assert all(now >= before for now, before in zip(numbers, self.numbers, strict=True))
        self.numbers = numbers
        self.answers += 1
        return numbers


async def make_pairs(make: Factory) -> None:
    for pair in range(PAIRS):
        for side in "ab":
            customer_id = f"{pair}{side}"
            await make.customer(id=customer_id, name=f"{customer_id} 0")
            await make.budget(id=f"of {customer_id}", customer_id=customer_id, max_limit_nanousd=100 * 10**9)
        await make.virtual_key(id=f"key {pair}", customer_id=f"{pair}a")


async def edit_pair(connection: Connection, pair: int, number: int) -> None:
    async with connection.transaction():
        for side, dollars in (("b", 100 - number), ("a", 100 + number)):
            customer_id = f"{pair}{side}"
            await connection.execute(
                "UPDATE customers SET name = $2 WHERE id = $1", customer_id, f"{customer_id} {number}"
            )
            await connection.execute(
                "UPDATE budgets SET max_limit_nanousd = $2 WHERE customer_id = $1", customer_id, dollars * 10**9
            )
        await connection.execute(
            "UPDATE virtual_keys SET customer_id = $2 WHERE id = $1", f"key {pair}", f"{pair}{'ab'[number % 2]}"
        )


async def edit_and_read(url: str, pair: int, read: Callable[[], Awaitable[list[Any]]]) -> None:
    """Each edit shows in its editor's next read."""
    connection = await connect(url)
    seen = Seen()
    for number in range(1, EDITS_OF_A_PAIR + 1):
        await edit_pair(connection, pair, number)
        assert seen.check(await read())[pair] == number
    await connection.close()


async def edit_one_side(url: str, done: asyncio.Event) -> None:
    """So that of two customers changed in one transaction a read often has one cached and the other not."""
    connection = await connect(url)
    while not done.is_set():
        for pair in range(PAIRS):
            await connection.execute("UPDATE customers SET config_hash = config_hash || 'x' WHERE id = $1", f"{pair}b")
    await connection.close()


async def test_every_answer_under_concurrent_edits_is_one_state_of_the_database(
    api: TestApi, database_url: str, make: Factory
) -> None:
    await make_pairs(make)
    editors_are_done = asyncio.Event()

    async def read() -> list[Any]:
        customers: list[Any] = await read_customers(api)
        return customers

    async def read_on() -> int:
        seen = Seen()
        while not editors_are_done.is_set():
            seen.check(await read())
        return seen.answers

    async with asyncio.timeout(30):
        readers = [asyncio.create_task(read_on()) for _ in range(READERS)]
        one_sided = asyncio.create_task(edit_one_side(database_url, editors_are_done))
        await asyncio.gather(*(edit_and_read(database_url, pair, read) for pair in range(PAIRS)))
        editors_are_done.set()
        await one_sided
        answers = await asyncio.gather(*readers)
    assert min(answers) > 10
    assert Seen().check(await read()) == [EDITS_OF_A_PAIR] * PAIRS


async def test_a_page_and_its_parts_read_at_once_agree_with_the_database(
    store: Store, counters: CounterClient, sealer: Sealer, clock: Clock, database_url: str, make: Factory
) -> None:
    """Editors read through different replicas and pages, whose caches and shared runs differ."""
    await make_pairs(make)
    replicas = [Replica(store, counters, sealer=sealer, clock=clock) for _ in range(2)]
    pages = [(replicas[0], PageQuery()), (replicas[0], PageQuery(limit=100)), (replicas[1], PageQuery())]

    def reading(replica: Replica, query: PageQuery) -> Callable[[], Awaitable[list[Any]]]:
        return lambda: replica.read(query)

    async with asyncio.timeout(30):
        await asyncio.gather(*(edit_and_read(database_url, pair, reading(*page)) for pair, page in enumerate(pages)))


async def test_a_read_begun_after_a_merge_shows_it_while_a_longer_read_is_under_way(
    replica: Replica, make: Factory, connection: Connection
) -> None:
    budgets = []
    for number in range(120):
        customer_id = await make.customer(id=f"c{number:03}")
        budgets.append(await meter_of_budget(connection, await make.budget(customer_id=customer_id)))
    await replica.read()
    first_to_middle, middle_to_last = PageQuery(limit=61), PageQuery(limit=60, offset=60)
    for round_number in range(30):
        await replica.book(*((*budget, 10**9) for budget in budgets))
        under_way = asyncio.create_task(replica.read(first_to_middle))
        for _ in range(3 * round_number):  # begun, a little further each time
            await asyncio.sleep(0)
        await replica.book((*budgets[60], 10**9))
        middle, *others = await replica.read(middle_to_last)
        assert middle["budget"]["current_usage"] == 2 * (round_number + 1)
        assert {customer["budget"]["current_usage"] for customer in others} == {round_number + 1}
        await under_way
