"""Valkey frozen, killed, restarted with less than it knew: every read succeeds, and none is wrong for long."""

import signal
import time
from decimal import Decimal

from tests.conftest import TestApi
from tests.faults.stores import Budget, Read, Stores, read
from tests.waiting import until

# The reconciler's interval, the breaker's, and room for a busy machine.
LEVEL_SECONDS = 5


async def wait_until_read(api: TestApi, budget: Budget, expected: Read, *, seconds: float = LEVEL_SECONDS) -> None:
    async def is_read() -> bool:
        return await read(api, budget) == expected

    await until(is_read, seconds=seconds)


def live(usd: int) -> Read:
    return Read(Decimal(usd), "live")


def ledger(usd: int) -> Read:
    return Read(Decimal(usd), "ledger")


async def kill_valkey(stores: Stores) -> None:
    stores.valkey.send(signal.SIGKILL)
    await stores.valkey.exited()


async def test_frozen_it_costs_each_read_less_than_half_a_second_and_no_usage(
    broken_api: TestApi, stores: Stores, budget: Budget
) -> None:
    await budget.book(3)
    assert await read(broken_api, budget) == live(3)
    stores.valkey.send(signal.SIGSTOP)
    await budget.book(4, merge=False)
    for _ in range(8):
        begun = time.monotonic()
        assert await read(broken_api, budget) == ledger(7)
        assert time.monotonic() - begun < 0.5
    stores.valkey.send(signal.SIGCONT)
    going_on = time.monotonic()

    async def live_again() -> bool:
        return (await read(broken_api, budget)).source == "live"

    await until(live_again, seconds=3)
    await wait_until_read(broken_api, budget, live(7), seconds=LEVEL_SECONDS - (time.monotonic() - going_on))


async def test_killed_it_is_done_without_and_restarted_it_is_used_again(
    broken_api: TestApi, stores: Stores, budget: Budget
) -> None:
    await budget.book(3)
    assert await read(broken_api, budget) == live(3)
    await kill_valkey(stores)
    assert await read(broken_api, budget) == ledger(3)
    await budget.book(4, merge=False)
    assert await read(broken_api, budget) == ledger(7)
    await stores.valkey.start()
    await wait_until_read(broken_api, budget, live(7))


async def test_restarted_without_the_tail_of_its_file_it_comes_level_with_the_ledger(
    broken_api: TestApi, stores: Stores, budget: Budget
) -> None:
    await budget.book(3)
    await budget.book(4)
    # Too long ago for the reconciler's look at what changed lately: only the new run of the server gives it away.
    async with stores.connection() as connection, stores.connection() as other_replica:
        await connection.execute("UPDATE meter_windows SET updated_at = now() - interval '20 days'")
        async with other_replica.transaction():
            # Another replica holds the reconciler's lock, so that the stale counters can be seen.
            await other_replica.execute("SELECT pg_advisory_xact_lock(4701201978)")
            await kill_valkey(stores)
            cut_after_the_first_merge(stores, budget)
            await stores.valkey.start()
            await wait_until_read(broken_api, budget, live(3))
    await wait_until_read(broken_api, budget, live(7))


def cut_after_the_first_merge(stores: Stores, budget: Budget) -> None:
    """Cut the tail off the append-only file, in the middle of the second merge of the budget."""
    (path,) = stores.append_only_files.glob("*.incr.aof")
    written = path.read_bytes()
    meter = f"budget:{budget.id}".encode()
    first = written.index(meter)
    second = written.index(meter, first + 1)
    path.write_bytes(written[: second + len(meter) // 2])


async def test_emptied_it_is_filled_again_and_no_read_is_wrong(
    broken_api: TestApi, stores: Stores, budget: Budget
) -> None:
    await budget.book(3)
    assert await read(broken_api, budget) == live(3)
    async with stores.redis() as redis:
        for _ in range(5):
            await redis.flushall()
            assert await read(broken_api, budget) == live(3)
