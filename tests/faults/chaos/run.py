"""One run: chaos for so long, then calm, then the books."""

import asyncio
import os
import random
import tempfile
import time
from pathlib import Path

import msgspec

from tests.faults.chaos.books import find_wrong_bookings, find_wrong_sums, read_ledger
from tests.faults.chaos.plan import Planned
from tests.faults.chaos.redis_books import find_wrong_counters
from tests.faults.chaos.scene import Scene, set_scene
from tests.faults.chaos.strikes import Strikes
from tests.faults.chaos.traffic import Traffic
from tests.faults.workers import until_ready
from tests.waiting import until

# From the last strike until everything is booked and Redis is level; for a busy machine.
_CALM_SECONDS = 30.0


class Outcome(msgspec.Struct, frozen=True):
    """`figures` are what was counted, by what; `violations` are empty when everything held."""

    figures: dict[str, int]
    violations: list[str]


async def run(plan: list[list[Planned]], *, seed: int, seconds: float, workers: int) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="governance-chaos-") as folder:
        os.chmod(folder, 0o711)  # noqa: PTH101  # Postgres runs as another user when this runs as root
        async with set_scene(Path(folder), workers=workers, draw=random.Random(seed), seconds=seconds) as scene:
            traffic, strikes = Traffic(scene, seed), Strikes(scene)
            async with asyncio.TaskGroup() as group:
                group.create_task(traffic.go_on(seconds))
                for hand in plan:
                    group.create_task(strikes.strike(hand))
            begun = time.monotonic()
            await until_ready(scene.workers)
            wrong_counters = await _wait_for_calm(scene)
            calm_seconds = time.monotonic() - begun
            return await _read_books(scene, traffic, strikes, wrong_counters, calm_seconds)


async def _wait_for_calm(scene: Scene) -> list[str]:
    """What is still wrong when the time is over; nothing, as a rule, once the last holds have expired."""
    async with scene.stores.connection() as connection, scene.stores.redis() as redis:
        wrong: list[str] = []

        # Not by a time-out: before Python 3.12 redis-py may swallow the cancellation.
        deadline = time.monotonic() + _CALM_SECONDS

        async def is_calm_or_late() -> bool:
            wrong[:] = await find_wrong_counters(redis, connection)
            return not wrong or time.monotonic() > deadline

        await until(is_calm_or_late, seconds=2 * _CALM_SECONDS)
        return wrong


async def _read_books(
    scene: Scene, traffic: Traffic, strikes: Strikes, wrong_counters: list[str], calm_seconds: float
) -> Outcome:
    async with scene.stores.connection() as connection:
        ledger = await read_ledger(connection)
        windows: int = await connection.fetchval("SELECT count(*) FROM meter_windows")
        violations = traffic.faults + wrong_counters + await find_wrong_sums(connection)
    violations += find_wrong_bookings(ledger, traffic.calls, strikes)
    violations += _tracebacks(scene)
    calls = traffic.calls.values()
    figures = {
        "calls": len(calls),
        **dict(sorted(traffic.told.items())),
        "calls acknowledged": sum(call.acknowledged for call in calls),
        "rows in the ledger": sum(map(len, ledger.rows.values())),
        "holds booked as expired": ledger.count("expired"),
        "made up for late": ledger.count("late"),
        "windows it is counted in": windows,
        "nano-dollars in the ledger": ledger.cost_nanousd,
        "replies of Redis lost": scene.proxy.lost,
        **{f"strike: {name}": count for name, count in sorted(strikes.done.items())},
        "milliseconds until calm": int(calm_seconds * 1000),
        "violations": len(violations),
    }
    return Outcome(figures, violations)


def _tracebacks(scene: Scene) -> list[str]:
    """What no worker may say."""
    return [
        f"a worker failed: {output[output.index('Traceback') :][:2000]}"
        for output in (worker.command.output for worker in scene.workers)
        if "Traceback" in output
    ]
