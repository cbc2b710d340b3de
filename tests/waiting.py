"""Waiting for something to become true, which no event tells."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 10) -> None:
    """Ask again and again. Raises TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # other processes set no Event
            await asyncio.sleep(0.01)
