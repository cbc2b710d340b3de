"""Calls of one turn of the loop share a round trip, and share nothing else."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis

from service.counters.batching import ScriptBatcher
from service.counters.client import CounterClient, CountersUnavailableError, ScriptCall, open_counters
from service.counters.lane import CALLS_PER_ROUND_TRIP, LONGEST_QUEUE
from service.embedded.servers import EmbeddedValkey
from service.settings import Settings
from tests.counters.scripts import COUNT, ECHO, FAULTY
from tests.faults.proxy import LosingProxy, Loss, losing_proxy
from tests.waiting import until

KEY = "gov:{customer:acme}:x"


@pytest.fixture
def batcher(counters: CounterClient) -> ScriptBatcher:
    return counters.batcher


@pytest.fixture
async def lossy(settings: Settings) -> AsyncIterator[tuple[LosingProxy, ScriptBatcher]]:
    """A proxy, and a batcher through it that waits 0.3 s and makes one round trip at a time."""
    if settings.redis_url.startswith("redis+cluster"):
        pytest.skip("the servers of a cluster say where they are, past the proxy")
    async with losing_proxy(settings.redis_url) as (proxy, url):
        limits = {"redis_timeout_ms": 300, "redis_pool_size": 1}
        client = open_counters(msgspec.structs.replace(settings, redis_url=url, **limits))
        await client.ping()
        yield proxy, client.batcher
        await client.close()


async def echo(batcher: ScriptBatcher, number: int) -> None:
    assert await batcher.run(ScriptCall(ECHO, (KEY,), b"%d" % number)) == b"%d" % number


async def result_of(task: asyncio.Task[bytes]) -> bytes | BaseException:
    (result,) = await asyncio.gather(task, return_exceptions=True)
    return result


def count_once(batcher: ScriptBatcher, key: str = KEY) -> asyncio.Task[bytes]:
    return asyncio.create_task(batcher.run(ScriptCall(COUNT, (key,), b"")))


async def counted(redis: Redis, key: str = KEY) -> int:
    return int(await redis.get(key) or 0)


def rode_along(batcher: ScriptBatcher) -> int:
    """How many calls needed no round trip of their own: a cluster's client makes some of one call, to learn of it."""
    return batcher.traffic.calls - batcher.traffic.round_trips


async def test_calls_of_one_turn_go_in_one_round_trip_and_each_gets_its_own_answer(batcher: ScriptBatcher) -> None:
    await echo(batcher, 0)
    before = rode_along(batcher)
    await asyncio.gather(*(echo(batcher, number) for number in range(100)))
    assert rode_along(batcher) == before + 99
    assert batcher.traffic.calls >= 101
    assert sum(batcher.traffic.seconds.counts) == batcher.traffic.round_trips
    assert batcher.traffic.seconds.total > 0


async def test_calls_made_while_a_round_trip_is_under_way_go_together_in_the_next(
    lossy: tuple[LosingProxy, ScriptBatcher], redis: Redis
) -> None:
    _, batcher = lossy
    await echo(batcher, 0)
    before = batcher.traffic.round_trips
    await redis.execute_command("CLIENT PAUSE", 100)  # type: ignore[no-untyped-call]
    calls = []
    for number in range(51):
        calls.append(asyncio.create_task(echo(batcher, number)))
        await asyncio.sleep(0)  # each in a turn of its own
    assert batcher.queued > 1
    await asyncio.gather(*calls)
    assert batcher.traffic.round_trips == before + 2


async def test_a_round_trip_takes_a_bounded_number_of_calls(batcher: ScriptBatcher) -> None:
    await echo(batcher, 0)
    before = rode_along(batcher)
    await asyncio.gather(*(echo(batcher, number) for number in range(2 * CALLS_PER_ROUND_TRIP + 1)))
    assert rode_along(batcher) == before + 2 * (CALLS_PER_ROUND_TRIP - 1)


async def test_a_call_that_fails_fails_alone(batcher: ScriptBatcher, redis: Redis) -> None:
    await redis.set(KEY, "x")
    calls = [ScriptCall(ECHO, (KEY,), b"1"), ScriptCall(FAULTY, (KEY,), b""), ScriptCall(ECHO, (KEY,), b"2")]
    first, faulty, second = await asyncio.gather(*map(batcher.run, calls), return_exceptions=True)
    assert (first, second) == (b"1", b"2")
    assert isinstance(faulty, CountersUnavailableError)
    assert batcher.traffic.errors["refused"] == 1
    assert not batcher.breaker_is_open


async def test_a_fault_of_ours_ends_the_wait_of_its_round_trip_and_others_are_carried_on(
    lossy: tuple[LosingProxy, ScriptBatcher], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, batcher = lossy
    await redis.set(KEY, "x")

    def fail(*_: object) -> bool:
        raise AssertionError("a fault")

    monkeypatch.setattr(batcher._servers.lanes[0], "redirect", fail)
    faulty = batcher.submit(ScriptCall(FAULTY, (KEY,), b""))
    others = [batcher.submit(ScriptCall(ECHO, (KEY,), b"1")) for _ in range(2 * CALLS_PER_ROUND_TRIP)]
    async with asyncio.timeout(5):
        with pytest.raises(CountersUnavailableError):
            await faulty
        assert set(await asyncio.gather(*others)) == {b"1"}


async def test_whoever_goes_away_disturbs_nobody(batcher: ScriptBatcher) -> None:
    for turns in range(30):
        tasks = [asyncio.create_task(echo(batcher, number)) for number in range(12)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for leaving in tasks[::3]:
            leaving.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [result for result in (*results[1::3], *results[2::3]) if result is not None] == []
    assert batcher.traffic.errors.total() == 0


async def test_who_goes_away_before_the_round_trip_is_not_sent(batcher: ScriptBatcher, redis: Redis) -> None:
    await echo(batcher, 0)
    leaving, staying = count_once(batcher), count_once(batcher)
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert await counted(redis) == 1
    before = batcher.traffic.round_trips
    alone = count_once(batcher)
    await asyncio.sleep(0)
    alone.cancel()
    await asyncio.wait([alone])
    await echo(batcher, 0)
    assert batcher.traffic.round_trips == before + 1


async def test_scripts_flushed_under_load_cost_no_call_and_repeat_none(batcher: ScriptBatcher, redis: Redis) -> None:
    async def count_often() -> None:
        for _ in range(100):
            await count_once(batcher)

    counting = asyncio.gather(*(count_often() for _ in range(20)))
    while not counting.done():
        await redis.script_flush()
        await asyncio.sleep(0)
    await counting
    assert await counted(redis) == 2000


@pytest.mark.parametrize("loss", ["silence", "cut"])
async def test_of_a_round_trip_whose_replies_were_lost_nothing_is_repeated_and_nobody_gets_anothers_answer(
    lossy: tuple[LosingProxy, ScriptBatcher], redis: Redis, loss: Loss
) -> None:
    proxy, batcher = lossy
    await count_once(batcher)
    proxy.lose_next = loss
    lost = await asyncio.gather(*(result_of(count_once(batcher)) for _ in range(10)))
    assert {type(result) for result in lost} == {CountersUnavailableError}
    assert await counted(redis) == 11
    assert batcher.traffic.errors["no_answer"] == 10
    await asyncio.gather(*(echo(batcher, number) for number in range(10)))


async def test_who_waits_behind_a_silent_round_trip_is_told_with_it(lossy: tuple[LosingProxy, ScriptBatcher]) -> None:
    proxy, batcher = lossy
    await count_once(batcher)
    proxy.lose_next = "silence"
    begun = time.monotonic()
    first = count_once(batcher)

    async def is_lost() -> bool:
        return proxy.lost == 1

    await until(is_lost)
    behind = [count_once(batcher) for _ in range(5)]
    results = await asyncio.gather(*map(result_of, (first, *behind)))
    assert {type(result) for result in results} == {CountersUnavailableError}
    assert time.monotonic() - begun < 0.5


async def test_the_queue_is_bounded(lossy: tuple[LosingProxy, ScriptBatcher]) -> None:
    proxy, batcher = lossy
    await count_once(batcher)
    proxy.lose_next = "silence"
    calls = [batcher.submit(ScriptCall(COUNT, (KEY,), b"")) for _ in range(LONGEST_QUEUE + 1)]
    assert calls[-1].done()
    assert not calls[-2].done()
    assert batcher.queued == LONGEST_QUEUE
    await asyncio.gather(*calls, return_exceptions=True)
    assert batcher.queued == 0
    assert batcher.traffic.errors["too_many"] == 1


async def test_frozen_callers_are_told_in_time_then_at_once_and_thawed_all_is_well(
    settings: Settings, tmp_path: Path
) -> None:
    valkey = EmbeddedValkey(tmp_path)
    await valkey.start()
    client = open_counters(msgspec.structs.replace(settings, redis_url=valkey.url, redis_timeout_ms=100))
    try:
        await echo(client.batcher, 0)
        valkey.send(signal.SIGSTOP)
        waits = []
        for _ in range(6):
            begun = time.monotonic()
            results = await asyncio.gather(*(result_of(count_once(client.batcher)) for _ in range(50)))
            waits.append(time.monotonic() - begun)
            assert {type(result) for result in results} == {CountersUnavailableError}
        assert max(waits[:3]) < 0.4
        assert min(waits[3:]) < 0.05
        assert client.batcher.breaker_is_open
        assert client.batcher.times_breaker_opened == 1
        assert client.batcher.traffic.errors["not_asked"] == 150
        valkey.send(signal.SIGCONT)

        async def answers() -> bool:
            return not isinstance(await result_of(count_once(client.batcher)), BaseException)

        await until(answers, seconds=3)
        await asyncio.gather(*(echo(client.batcher, number) for number in range(50)))
    finally:
        await client.close()
        await valkey.stop()


async def test_closed_while_calls_wait_all_are_told_or_answered(settings: Settings) -> None:
    for turns in range(10):
        client = open_counters(settings)
        calls = [client.batcher.submit(ScriptCall(ECHO, (KEY,), b"1")) for _ in range(4000)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await client.close()
        assert all(call.done() for call in calls)
        await asyncio.gather(*calls, return_exceptions=True)
        with pytest.raises(CountersUnavailableError):
            await client.batcher.run(ScriptCall(ECHO, (KEY,), b"1"))
