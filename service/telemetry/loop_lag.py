"""How late the event loop is: what keeps it from its work keeps every request waiting."""

import asyncio
from contextlib import suppress

from service.domain.measures import Distribution

_INTERVAL_SECONDS = 0.25


class LoopLag:
    """`seconds`: how long after it was due a timer ran."""

    def __init__(self) -> None:
        self.seconds = Distribution()

    async def watch(self, stop: asyncio.Event) -> None:
        """Measure until `stop`."""
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            due = loop.time() + _INTERVAL_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await stop.wait()
            self.seconds.observe(max(0.0, loop.time() - due))
