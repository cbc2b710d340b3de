"""What no event tells about other processes."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import psutil


async def until(condition: Callable[[], bool]) -> None:
    """Raises TimeoutError after 10 s."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - other processes set no Event
            await asyncio.sleep(0.005)


def lives(process: psutil.Process) -> bool:
    """False for one that ended and is not collected yet."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
