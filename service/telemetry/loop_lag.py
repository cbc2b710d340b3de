"""How late the event loop is: what keeps it from its work keeps every request waiting."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from service.domain.measures import Distribution

_INTERVAL_SECONDS = 0.25


class LoopLag:
    """`seconds`: how long after it was due a timer ran."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.seconds = Distribution()

    async def watch(self, stop: asyncio.Event) -> None:
        """Measure until `stop`."""
        while not stop.is_set():
            due = self._now() + _INTERVAL_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_SECONDS):
                    await stop.wait()
            self.seconds.observe(max(0.0, self._now() - due))
