"""How many large answers a worker sends at a time: each keeps what it sends in memory until its reader has taken it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from service.http.errors import unavailable

# For each that is sent; they cost what they were built from, most of which they share.
_MOST_WAITING = 4
_PATIENCE_SECONDS = 10.0


class LargeAnswers:
    """At most `most` are sent at a time, four times as many wait for their turn, and the others are refused."""

    def __init__(self, most: int) -> None:
        self._turns = asyncio.Semaphore(most)
        self._most_waiting = most * _MOST_WAITING
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """While the answer is sent. Raises ApiError 503 when no turn comes."""
        await self._wait()
        try:
            yield
        finally:
            self._turns.release()

    async def _wait(self) -> None:
        if self._turns.locked() and self._waiting >= self._most_waiting:
            raise unavailable("Too many large answers are being read")
        self._waiting += 1
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise unavailable("Too many large answers are being read") from error
        finally:
            self._waiting -= 1


LARGE_ANSWERS = web.AppKey("large_answers", LargeAnswers)
