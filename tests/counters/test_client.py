"""The connection to Redis: bounded waits, nothing repeated behind the caller's back, everyone's own answer."""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from redis.asyncio import Redis

from service.counters.client import (
    CounterClient,
    CountersUnavailableError,
    ScriptCall,
    open_counters,
)
from service.settings import Settings
from tests.counters.scripts import COUNT, ECHO, FAULTY
from tests.faults.proxy import LosingProxy, Loss, losing_proxy


@pytest.fixture
async def lossy(settings: Settings) -> AsyncIterator[tuple[LosingProxy, CounterClient]]:
    """A proxy, and a client through it that waits 0.3 s."""
    if settings.redis_url.startswith("redis+cluster"):
        pytest.skip("the servers of a cluster say where they are, past the proxy")
    async with losing_proxy(settings.redis_url) as (proxy, url):
        client = open_counters(msgspec.structs.replace(settings, redis_url=url, redis_timeout_ms=300))
        await client.ping()
        yield proxy, client
        await client.close()


@pytest.mark.parametrize("loss", ["silence", "cut"])
async def test_a_call_whose_answer_was_lost_is_not_made_again(
    lossy: tuple[LosingProxy, CounterClient], redis: Redis, loss: Loss
) -> None:
    proxy, client = lossy
    count = [ScriptCall(COUNT, ["calls"], b"")]
    await client.run(count)
    for times in (2, 3):
        await client.ping()  # on a new connection, after the last was lost
        proxy.lose_next = loss
        with pytest.raises(CountersUnavailableError):
            await client.run(count)
        assert int(await redis.get("calls") or 0) == times
    assert proxy.lost == 2
    await client.run(count)
    assert int(await redis.get("calls") or 0) == 4


async def test_a_silent_redis_is_waited_for_as_long_as_was_set(lossy: tuple[LosingProxy, CounterClient]) -> None:
    proxy, client = lossy
    proxy.lose_next = "silence"
    begun = time.monotonic()
    with pytest.raises(CountersUnavailableError):
        await client.ping()
    assert 0.2 < time.monotonic() - begun < 0.6


async def test_many_callers_share_few_connections(settings: Settings, redis: Redis) -> None:
    client = open_counters(msgspec.structs.replace(settings, redis_pool_size=4))

    async def echo(number: int) -> None:
        assert await client.run([ScriptCall(ECHO, [], b"%d" % number)]) == [b"%d" % number]

    await asyncio.gather(*(echo(number) for number in range(200)))
    assert len(await redis.client_list()) <= 4 + 1
    await client.close()


async def test_nobody_gets_the_answer_of_one_who_went_away(settings: Settings) -> None:
    client = open_counters(msgspec.structs.replace(settings, redis_pool_size=4))

    async def echo(number: int) -> None:
        answers = await client.run([ScriptCall(ECHO, [], b"%d-%d" % (number, place)) for place in range(3)])
        assert answers == [b"%d-%d" % (number, place) for place in range(3)]

    for turns in range(20):
        tasks = [asyncio.create_task(echo(number)) for number in range(12)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for leaving in tasks[::3]:
            leaving.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [result for result in results if isinstance(result, AssertionError)] == []
        assert [result for result in (*results[1::3], *results[2::3]) if result is not None] == []
    await client.close()


async def test_callers_who_go_away_are_no_outage(counters: CounterClient) -> None:
    await counters.ping()
    for _ in range(20):
        task = asyncio.create_task(counters.ping())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert not counters.batcher.breaker_is_open
    await counters.ping()


async def test_a_script_that_fails_is_told_and_is_no_outage(counters: CounterClient, redis: Redis) -> None:
    await redis.set("not a hash", "x")
    for _ in range(10):
        with pytest.raises(CountersUnavailableError):
            await counters.run([ScriptCall(FAULTY, ["not a hash"], b"")])
    await counters.ping()


async def test_without_redis_callers_are_told_at_once_after_a_few(settings: Settings, unused_tcp_port: int) -> None:
    client = open_counters(msgspec.structs.replace(settings, redis_url=f"redis://127.0.0.1:{unused_tcp_port}/0"))
    begun = time.monotonic()
    for _ in range(100):
        with pytest.raises(CountersUnavailableError):
            await client.ping()
    assert client.batcher.breaker_is_open
    assert time.monotonic() - begun < 1.0
    await client.close()


async def test_an_error_tells_nothing_of_where_redis_is(settings: Settings, unused_tcp_port: int) -> None:
    url = f"redis://user:very-secret@127.0.0.1:{unused_tcp_port}/0"
    client = open_counters(msgspec.structs.replace(settings, redis_url=url))
    with pytest.raises(CountersUnavailableError) as caught:
        await client.ping()
    assert str(caught.value) == "Redis does not answer"
    await client.close()
