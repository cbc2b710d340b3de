"""Closed at any moment, the client leaves no connection open."""

import asyncio
import gc

import pytest
from redis.asyncio import Redis

from service.counters.client import open_counters
from service.settings import Settings
from tests.waiting import until


async def connections(redis: Redis) -> set[str]:
    return {client["id"] for client in await redis.client_list()}


async def wait_until_only(before: set[str], redis: Redis) -> None:
    """The server notices a moment after the client closed."""

    async def none_is_new() -> bool:
        return await connections(redis) <= before

    await until(none_is_new, seconds=1)


@pytest.mark.parametrize("calls", [0, 1, 20])
async def test_closed_it_leaves_no_connection(settings: Settings, redis: Redis, calls: int) -> None:
    before = await connections(redis)
    client = open_counters(settings)
    await asyncio.gather(*(client.ping() for _ in range(calls)))
    await client.close()
    await wait_until_only(before, redis)


@pytest.mark.parametrize("goes_away", [True, False])
async def test_closed_while_a_call_connects_it_leaves_no_connection(
    settings: Settings, redis: Redis, goes_away: bool
) -> None:
    before = await connections(redis)
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
    await wait_until_only(before, redis)
