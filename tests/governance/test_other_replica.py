"""What one editor commits, its next read shows on every replica, over HTTP too, while others edit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from service.store.postgres import Connection, connect
from tests.conftest import TestApi
from tests.factories import Factory, meter_of_budget
from tests.governance.using import Replica
from tests.reading import read_customers

EDITORS = 3
EDITS = 15
APPEARS = "INSERT INTO customers (id, name) VALUES ($1::text, $1::text)"
DISAPPEARS = "DELETE FROM customers WHERE id = $1"
Read = Callable[[], Awaitable[list[Any]]]


@pytest.fixture
def reads(api: TestApi, other_replica: Replica) -> tuple[Read, Read]:
    """The whole tree from the service over HTTP, and from a second replica."""
    return (lambda: read_customers(api)), other_replica.read


@pytest.fixture
async def editors(database_url: str) -> AsyncIterator[list[Connection]]:
    connections: list[Connection] = [await connect(database_url) for _ in range(EDITORS)]
    yield connections
    for connection in connections:
        await connection.close()


def homes(customers: list[Any], virtual_key_id: str) -> list[str]:
    """The owners, customers and teams, that a virtual key is shown under."""
    owners = [owner for customer in customers for owner in (customer, *customer["teams"])]
    return [owner["id"] for owner in owners for key in owner["virtual_keys"] if key["id"] == virtual_key_id]


async def test_a_key_moved_back_and_forth_is_always_in_one_place_and_its_editor_sees_which(
    reads: tuple[Read, Read], editors: list[Connection], make: Factory
) -> None:
    for customer_id in ("a", "b"):
        await make.customer(id=customer_id)
        await make.team(id=f"team of {customer_id}", customer_id=customer_id)
    for number in range(EDITORS):
        await make.virtual_key(id=f"key {number}", customer_id="a")
    places = (("customer_id", "b"), ("team_id", "team of a"), ("team_id", "team of b"), ("customer_id", "a"))

    async def move_about(number: int) -> None:
        for edit in range(EDITS):
            column, owner_id = places[edit % len(places)]
            await editors[number].execute(
                "UPDATE virtual_keys SET customer_id = $1, team_id = $2 WHERE id = $3",
                owner_id if column == "customer_id" else None,
                owner_id if column == "team_id" else None,
                f"key {number}",
            )
            for customers in await asyncio.gather(*(read() for read in reads)):
                assert homes(customers, f"key {number}") == [owner_id]
                assert all(len(homes(customers, f"key {other}")) == 1 for other in range(EDITORS))

    async with asyncio.timeout(30):
        await asyncio.gather(*(move_about(number) for number in range(EDITORS)))


async def test_customers_that_come_and_go_together_are_shown_together(
    reads: tuple[Read, Read], editors: list[Connection], make: Factory
) -> None:
    await make.customer(id="first")

    async def come_and_go(number: int) -> None:
        pair = [f"{side} of {number}" for side in ("one", "other")]
        for edit in range(EDITS):
            comes = edit % 2 == 0
            statement = APPEARS if comes else DISAPPEARS
            async with editors[number].transaction():
                for customer_id in pair:
                    await editors[number].execute(statement, customer_id)
            for customers in await asyncio.gather(*(read() for read in reads)):
                shown = {customer["id"] for customer in customers}
                assert (shown & {*pair}) == ({*pair} if comes else set())
                assert all((f"one of {n}" in shown) is (f"other of {n}" in shown) for n in range(EDITORS))

    async with asyncio.timeout(30):
        await asyncio.gather(*(come_and_go(number) for number in range(EDITORS)))


# Of acme > team > key with a budget on each. Statement, and the ids shown after it: customers, teams, virtual keys.
DELETIONS: tuple[tuple[str, list[set[str]]], ...] = (
    ("DELETE FROM budgets WHERE team_id IS NOT NULL", [{"acme"}, {"team"}, {"key"}]),
    ("DELETE FROM virtual_keys", [{"acme"}, {"team"}, set()]),
    ("DELETE FROM teams", [{"acme"}, set(), set()]),
    ("DELETE FROM customers", [set(), set(), set()]),
)


async def test_what_is_deleted_is_gone_from_the_next_read(
    reads: tuple[Read, Read], make: Factory, connection: Connection
) -> None:
    await make.customer(id="acme")
    await make.team(id="team", customer_id="acme")
    await make.virtual_key(id="key", team_id="team")
    for owner in ({"customer_id": "acme"}, {"team_id": "team"}, {"virtual_key_id": "key"}):
        await make.budget(**owner)
    for statement, left in DELETIONS:
        await connection.execute(statement)
        for read in reads:
            customers = await read()
            teams = [team for customer in customers for team in customer["teams"]]
            keys = [key for owner in (*customers, *teams) for key in owner["virtual_keys"]]
            assert [{row["id"] for row in rows} for rows in (customers, teams, keys)] == left, statement
            assert not any(team["budgets"] for team in teams)


async def test_another_calendar_is_another_epoch_at_once(
    reads: tuple[Read, Read], replica: Replica, make: Factory, connection: Connection
) -> None:
    await make.customer(id="acme")
    await make.budget(id="b", customer_id="acme")

    async def usages() -> list[int]:
        return [int(customer["budget"]["current_usage"]) for read in reads for customer in await read()]

    # Rolling again at the end of each: the window is the same as before, so only the epoch tells the two apart.
    for changes in (["time_zone = 'Asia/Kolkata'"], ["calendar_aligned = true", "calendar_aligned = false"]):
        await replica.book((*await meter_of_budget(connection, "b"), 10**9))
        assert await usages() == [1, 1]
        for change in changes:
            await connection.execute(f"UPDATE customers SET {change}")
            assert await usages() == [0, 0], change
