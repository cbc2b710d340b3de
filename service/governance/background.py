"""Work that goes on beside the requests."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress


async def repeat(work: Callable[[], Awaitable[None]], *, every_seconds: float, stop: asyncio.Event) -> None:
    """Do `work` now and again until `stop` is set; what is under way then is finished first."""
    while not stop.is_set():
        await work()
        with suppress(TimeoutError):
            async with asyncio.timeout(every_seconds):
                await stop.wait()
