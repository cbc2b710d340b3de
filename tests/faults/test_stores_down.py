"""Many readers at once while a store is frozen, and what an operator may do to Redis: the bounds hold for each."""

import asyncio
import signal
import time
from decimal import Decimal

import pytest

from tests.conftest import TestApi
from tests.faults.stores import Budget, Read, Stores, read
from tests.waiting import until

READERS = 20
# For a busy machine.
ROOM_SECONDS = 0.3


async def test_many_who_read_while_redis_is_frozen_wait_for_two_of_its_time_outs_at_most(
    broken_api: TestApi, stores: Stores, budget: Budget
) -> None:
    async def timed_read() -> float:
        begun = time.monotonic()
        assert await read(broken_api, budget) == Read(Decimal(3), "ledger")
        return time.monotonic() - begun

    await budget.book(3)
    await read(broken_api, budget)
    two_time_outs_seconds = 2 * stores.settings.redis_timeout_ms / 1000  # of the run under way, and of the next
    stores.valkey.send(signal.SIGSTOP)
    for _ in range(3):
        waits = await asyncio.gather(*(timed_read() for _ in range(READERS)))
        assert max(waits) < two_time_outs_seconds + ROOM_SECONDS
    assert max(waits) < ROOM_SECONDS  # by now the breaker is open


async def test_many_who_read_while_postgres_is_frozen_are_each_refused_within_a_bound(
    broken_api: TestApi, stores: Stores, budget: Budget
) -> None:
    """Who joins while another's read is waiting for Postgres does not wait for that one and then again."""

    async def refused_seconds() -> float:
        begun = time.monotonic()
        assert (await broken_api.get("/api/governance/customers")).status == 503
        return time.monotonic() - begun

    await read(broken_api, budget)
    stores.postgres.send(signal.SIGSTOP)
    waits = await asyncio.gather(*(refused_seconds() for _ in range(READERS)))
    assert max(waits) <= 8
    stores.postgres.send(signal.SIGCONT)

    async def is_read_again() -> bool:
        return (await broken_api.get("/api/governance/customers")).status == 200

    await until(is_read_again)
    assert (await read(broken_api, budget)).used_usd == 0


@pytest.mark.parametrize("command", ["FLUSHALL", "SCRIPT FLUSH", "CLIENT KILL TYPE normal", "CONFIG SET maxmemory 1"])
async def test_what_an_operator_does_to_redis_costs_no_usage(
    broken_api: TestApi, stores: Stores, budget: Budget, command: str
) -> None:
    async def is_right_and_live() -> bool:
        return await read(broken_api, budget) == Read(Decimal(7), "live")

    await budget.book(3)
    await budget.book(4, merge=False)
    async with stores.redis() as redis:
        await redis.execute_command(*command.split())  # type: ignore[no-untyped-call]
        for _ in range(3):
            await read(broken_api, budget)
        await redis.config_set("maxmemory", 0)
    await until(is_right_and_live, seconds=5)
