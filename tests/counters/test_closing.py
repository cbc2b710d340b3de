"""Closed at any moment, the client leaves no connection open."""

import asyncio
import gc

import pytest
from redis.asyncio import Redis

from service.counters.client import open_counters
from service.settings import Settings
from tests.waiting import until


async def wait_until_none_is_open(redis: Redis) -> None:
    """Beside this one; the server notices a moment after the client closed."""

    async def none_is_open() -> bool:
        return len(await redis.client_list()) == 1

    await until(none_is_open, seconds=1)


@pytest.mark.parametrize("calls", [0, 1, 20])
async def test_closed_it_leaves_no_connection(settings: Settings, redis: Redis, calls: int) -> None:
    client = open_counters(settings)
    await asyncio.gather(*(client.ping() for _ in range(calls)))
    await client.close()
    await wait_until_none_is_open(redis)


@pytest.mark.parametrize("goes_away", [True, False])
async def test_closed_while_a_call_connects_it_leaves_no_connection(
    settings: Settings, redis: Redis, goes_away: bool
) -> None:
    for turns in range(20):
        client = open_counters(settings)
        call = asyncio.create_task(client.ping())
        for _ in range(turns):
            await asyncio.sleep(0)
        if goes_away:
            call.cancel()
        await client.close()
        await asyncio.gather(call, return_exceptions=True)
    del client, call
    gc.collect()  # a connection that was left open warns when it is collected
    await wait_until_none_is_open(redis)
