"""However large a tenant is, it is read in bounded steps, and reads as if it had been read in one."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from service.governance.tree import fill as filling, load, parts
from service.governance.tree.build import TreeBuilder
from service.store.postgres import Connection
from service.store.trees import TreeRows, TreeScope, load_tree_rows
from tests.conftest import Clock
from tests.factories import Factory, meter_of_budget
from tests.full_tree import make_full_tree
from tests.governance.using import WHOLE, Replica, decoded, only_meters_key

TEAMS = ("a", "b", "without keys", "c")
KEYS_OF_EACH = 3
LARGE = 2500


async def make_owners(make: Factory) -> None:
    """A customer with teams, and virtual keys of it and of them, whose windows end at different times."""
    await make.customer(id="acme 2")
    for team_id in TEAMS:
        await make.team(id=team_id, customer_id="acme 2")
        await make.budget(id=f"of {team_id}", team_id=team_id, reset_duration="1d")
    owners = ({"team_id": "a"}, {"team_id": "b"}, {"team_id": "c"}, {"customer_id": "acme 2"})
    for number in range(KEYS_OF_EACH * len(owners)):
        await make.virtual_key(id=f"key {number}", **owners[number % len(owners)])
        duration = ("1h", "30m", "1d")[number % 3]
        await make.budget(id=f"of key {number}", virtual_key_id=f"key {number}", reset_duration=duration)


async def make_large(connection: Connection, make: Factory) -> None:
    """A customer with so many virtual keys, each with a budget; in two statements."""
    await make.customer(id="acme")
    await make.team(id="research", customer_id="acme")
    await connection.execute(
        "INSERT INTO virtual_keys (id, name, team_id, description, value_hash, value_sealed) "
        "SELECT 'k' || n, 'key ' || n, 'research', repeat('x', 500), sha256(n::text::bytea), '' "
        "FROM generate_series(1, $1::int) AS n",
        LARGE,
    )
    await connection.execute(
        "INSERT INTO budgets (id, virtual_key_id, max_limit_nanousd, reset_duration) "
        "SELECT 'b' || n, 'k' || n, 1000, '1d' FROM generate_series(1, $1::int) AS n",
        LARGE,
    )


class Turns:
    """How much is done of what is counted, in all and within one turn of the event loop at most."""

    def __init__(self) -> None:
        self.total = 0
        self.most = 0
        self._in_turn = 0

    def count(self) -> None:
        self.total += 1
        self._in_turn += 1
        self.most = max(self.most, self._in_turn)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        async def others() -> None:
            while True:
                self._in_turn = 0
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        try:
            yield
        finally:
            task.cancel()


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Turns:
    """Count the calls of a function that is left as it is."""
    turns, function = Turns(), getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        turns.count()
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)
    return turns


def counted_loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many virtual keys each load brings."""
    loads: list[int] = []

    async def noted(snapshot: Connection, scope: TreeScope) -> TreeRows:
        rows = await load_tree_rows(snapshot, scope)
        loads.append(sum(map(len, rows.virtual_keys.values())))
        return rows

    monkeypatch.setattr(load, "load_tree_rows", noted)
    return loads


async def test_others_get_their_turn_while_a_large_tenant_is_built(
    replica: Replica, make: Factory, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_large(connection, make)
    loads = counted_loads(monkeypatch)
    built = counted(monkeypatch, TreeBuilder, "virtual_key_entity")
    async with built.watched():
        (customer,) = await replica.read()
    assert len(customer["teams"][0]["virtual_keys"]) == built.total == sum(loads) == LARGE
    assert built.most <= 400
    assert max(loads) <= 1000


async def test_others_get_their_turn_while_a_large_tenant_is_filled_in(
    replica: Replica, make: Factory, connection: Connection, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_PART_BYTES", 8 * 1024)
    await make_large(connection, make)
    for _ in range(2):
        await replica.read()
    looked_at = counted(monkeypatch, parts.TenantFragment, "reads_the_same")
    await replica.book((*await meter_of_budget(connection, "b1"), 10**9))
    async with looked_at.watched():
        await replica.read()
    assert looked_at.total > 400
    assert looked_at.most <= 200
    filled = counted(monkeypatch, filling, "fill")
    clock.forward(days=1)  # every window has ended
    async with filled.watched():
        await replica.read()
    assert filled.total > 200
    assert filled.most <= 100


@pytest.mark.parametrize("places_per_load", [1, 3, 1000])
@pytest.mark.parametrize("part_bytes", [1, 5000])
async def test_a_tenant_read_in_pieces_is_what_it_is_read_at_once(
    replica: Replica, other_replica: Replica, make: Factory, monkeypatch: pytest.MonkeyPatch, *, places_per_load: int,
    part_bytes: int,
) -> None:  # fmt: skip
    await make_full_tree(make)
    await make.customer(id="nothing below")
    await make.customer(id="keys only")
    await make.virtual_key(customer_id="keys only")
    await make_owners(make)
    at_once = await other_replica.reader.page(WHOLE)
    monkeypatch.setattr(parts, "_PART_BYTES", part_bytes)
    monkeypatch.setattr(load, "_PLACES_PER_LOAD", places_per_load)
    in_pieces = await replica.reader.page(WHOLE)
    assert [b"".join(pieces) for pieces in in_pieces.customers] == [b"".join(pieces) for pieces in at_once.customers]
    teams = {team["id"]: len(team["virtual_keys"]) for team in decoded(in_pieces)[-1]["teams"]}
    assert teams == {"a": KEYS_OF_EACH, "b": KEYS_OF_EACH, "without keys": 0, "c": KEYS_OF_EACH}


async def test_a_part_whose_meters_read_as_before_is_kept(
    replica: Replica, make: Factory, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_PART_BYTES", 1)
    await make_owners(make)
    for _ in range(2):
        await replica.read()
    before = (await replica.reader.page(WHOLE)).customers[0]
    await replica.book((*await meter_of_budget(connection, "of key 5"), 10**9))
    after = (await replica.reader.page(WHOLE)).customers[0]
    changed = [piece for old, piece in zip(before, after, strict=True) if piece is not old]
    assert [b'"id":"key 5"' in piece for piece in changed] == [True]


async def test_a_part_that_was_loaded_from_the_ledger_is_not_kept(
    replica: Replica, make: Factory, connection: Connection, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_PART_BYTES", 1)
    await make_owners(make)
    lost, other = [(await meter_of_budget(connection, f"of key {number}")) for number in (0, 1)]
    await replica.read()
    for spent in range(1, 4):
        await replica.book((*lost, 10**9), merge=False)
        await redis.hdel(await only_meters_key(redis), lost[1].id)
        await replica.book((*other, 10**9))
        (customer,) = await replica.read()
        assert customer["teams"][0]["virtual_keys"][0]["budget"]["current_usage"] == spent


async def test_what_is_kept_of_a_tenant_never_shows(
    replica: Replica, make: Factory, connection: Connection, redis: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens between two reads, one that keeps parts of the last answers as one that keeps nothing."""
    monkeypatch.setattr(parts, "_PART_BYTES", 1)
    await make_owners(make)
    draw = random.Random(7)
    limits = [f"of {owner}" for owner in (*TEAMS, *(f"key {number}" for number in range(4 * KEYS_OF_EACH)))]
    await replica.read()
    key = await only_meters_key(redis)

    async def book() -> None:
        await replica.book((*await meter_of_budget(connection, draw.choice(limits)), 10**9))

    async def lose() -> None:
        lost = draw.choice(limits)
        await replica.book((*await meter_of_budget(connection, lost), 10**9), merge=False)
        await redis.hdel(key, f"budget:{lost}")
        await book()  # it changes the version

    async def reset() -> None:
        await connection.execute("UPDATE budgets SET epoch = epoch + 1 WHERE id = $1", draw.choice(limits))

    async def pass_time() -> None:
        clock.forward(minutes=draw.choice((1, 7, 31, 61)))

    async def set_clock_back() -> None:
        clock.forward(minutes=-draw.choice((7, 31, 61)))
        await book()

    happens: tuple[Callable[[], Awaitable[None]], ...] = (book, book, lose, reset, pass_time, set_clock_back)
    for _ in range(60):
        await draw.choice(happens)()
        keeps_nothing = Replica(replica.store, replica.counters, sealer=replica.sealer, clock=clock)
        assert await replica.read() == await keeps_nothing.read()
