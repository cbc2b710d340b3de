"""The lag of the event loop is measured while it runs."""

import asyncio
import time

from service.telemetry.loop_lag import LoopLag
from tests.waiting import until


async def test_a_loop_that_was_held_is_seen() -> None:
    lag, stop = LoopLag(), asyncio.Event()
    watch = asyncio.create_task(lag.watch(stop))
    await asyncio.sleep(0)
    time.sleep(0.5)  # noqa: ASYNC251  # what must not be done is what is measured

    async def measured() -> bool:
        return sum(lag.seconds.counts) >= 2

    await until(measured)
    stop.set()
    await watch
    assert lag.seconds.total >= 0.2
    over_100_ms = sum(lag.seconds.counts[lag.seconds.bounds.index(0.1) + 1 :])
    assert over_100_ms == 1
