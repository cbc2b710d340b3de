"""The lag of the event loop is measured while it runs."""

import asyncio

import pytest

from service.telemetry import loop_lag
from service.telemetry.loop_lag import LoopLag
from tests.waiting import until


async def test_a_loop_that_was_held_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_lag, "_INTERVAL_SECONDS", 0.01)
    # Before and after each wait: held for 0.3 seconds in the first, on time in the others.
    instants = iter([0.0, 0.31])
    lag, stop = LoopLag(now=lambda: next(instants, 1.0)), asyncio.Event()
    watch = asyncio.create_task(lag.watch(stop))

    async def measured() -> bool:
        return sum(lag.seconds.counts) >= 2

    await until(measured)
    stop.set()
    await watch
    assert lag.seconds.total == pytest.approx(0.3)
    over_100_ms = sum(lag.seconds.counts[lag.seconds.bounds.index(0.1) + 1 :])
    assert over_100_ms == 1
