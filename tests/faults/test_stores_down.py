"""Stores that stop, die and come back: what is answered meanwhile, how soon, and that nothing acknowledged is lost."""

import asyncio
import signal
import time

import pytest
from redis.asyncio import Redis

from tests.faults.scene import Scene
from tests.waiting import until


async def assert_read_from_the_ledger(scene: Scene) -> None:
    reading = await scene.read()
    assert (reading.status, reading.source, reading.dollars) == (200, "ledger", scene.dollars)
    assert reading.seconds < 0.5


async def test_a_stopped_redis_costs_less_than_half_a_second_and_no_usage(scene: Scene) -> None:
    scene.valkey.send(signal.SIGSTOP)
    try:
        for _ in range(8):
            await assert_read_from_the_ledger(scene)
        await scene.use(2, merge=False)
        for reading in await asyncio.gather(*(scene.read() for _ in range(20))):
            assert (reading.status, reading.source, reading.dollars) == (200, "ledger", 3)
            assert reading.seconds < 0.5
    finally:
        scene.valkey.send(signal.SIGCONT)
    begun = time.monotonic()

    async def is_live() -> bool:
        return (await scene.read()).source == "live"

    await until(is_live, seconds=3)
    await scene.wait_for(source="live")  # what was booked meanwhile, too
    assert time.monotonic() - begun < 6


async def test_a_killed_redis_that_comes_back_shows_what_was_acknowledged(scene: Scene) -> None:
    scene.valkey.send(signal.SIGKILL)
    await scene.valkey.exited()
    for _ in range(5):
        await assert_read_from_the_ledger(scene)
    await scene.use(2, merge=False)
    await assert_read_from_the_ledger(scene)
    await scene.valkey.start()
    await scene.wait_for(source="live", seconds=8)
    await scene.use(4)
    assert (await scene.read()).dollars == 7


async def test_a_redis_that_comes_back_without_its_last_writes_is_made_good(scene: Scene) -> None:
    await scene.use(2)
    assert (await scene.read()).dollars == 3
    scene.valkey.send(signal.SIGKILL)
    await scene.valkey.exited()
    _cut_append_only_file(scene)
    await scene.valkey.start()
    await scene.wait_for(source="live", seconds=8)


@pytest.mark.parametrize("command", ["FLUSHALL", "SCRIPT FLUSH", "CLIENT KILL TYPE normal", "FUNCTION FLUSH"])
async def test_what_an_operator_does_to_redis_costs_no_usage(scene: Scene, command: str) -> None:
    await scene.use(2, merge=False)
    async with Redis.from_url(scene.valkey.url) as redis:
        await redis.execute_command(*command.split())  # type: ignore[no-untyped-call]
    for _ in range(3):
        assert (await scene.read()).status == 200
    await scene.wait_for(source="live", seconds=5)


async def test_a_killed_postgres_is_told_and_waited_for(scene: Scene) -> None:
    scene.postgres.send(signal.SIGKILL)
    await scene.postgres.exited()
    for _ in range(4):
        reading = await scene.read()
        assert (reading.status, reading.source) == (503, "")
        assert int(reading.retry_after) >= 1
        assert reading.seconds < 3
        assert await scene.health_seconds() < 0.1
    assert (await scene.api.get("/ready")).status in {200, 503}  # it may not have been noticed yet
    await until(lambda: _is_ready(scene, 503), seconds=5)
    await scene.postgres.start()
    await scene.wait_for(source="live", seconds=8)
    await until(lambda: _is_ready(scene, 200), seconds=8)


async def test_a_stopped_postgres_is_told_within_a_bound_and_comes_back(scene: Scene) -> None:
    scene.postgres.send(signal.SIGSTOP)
    try:
        asked = [asyncio.create_task(scene.read()) for _ in range(20)]
        await asyncio.sleep(0)
        for _ in range(10):
            assert await scene.health_seconds() < 0.1
        for reading in await asyncio.gather(*asked):
            assert reading.status == 503
            assert int(reading.retry_after) >= 1
            assert reading.seconds <= 8
    finally:
        scene.postgres.send(signal.SIGCONT)
    await scene.wait_for(source="live", seconds=8)
    await scene.use(2)
    assert (await scene.read()).dollars == 3


async def _is_ready(scene: Scene, status: int) -> bool:
    return (await scene.api.get("/ready")).status == status


def _cut_append_only_file(scene: Scene) -> None:
    """As a lost machine leaves it: the end of the file is missing."""
    (file,) = scene.folder.rglob("*.incr.aof")
    content = file.read_bytes()
    last_but_one = content.rfind(b"*", 0, content.rfind(b"*"))
    file.write_bytes(content[:last_but_one])
