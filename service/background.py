"""Work that goes on beside the requests of a worker: begun together, ended together, and not survived by it."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog

from service.http.health import Lifecycle

log = structlog.get_logger()

_FINISH_SECONDS = 0.5
_CANCEL_ATTEMPTS = 50
_CANCEL_SECONDS = 0.1


class Background:
    """Runs loops that end when `stop` is set. One that fails stops the worker: better a new one than half of one."""

    def __init__(self, loops: Mapping[str, Callable[[asyncio.Event], Awaitable[None]]], lifecycle: Lifecycle) -> None:
        self._stop = asyncio.Event()
        self._tasks = [asyncio.create_task(_run(watch, self._stop), name=name) for name, watch in loops.items()]
        for task in self._tasks:
            task.add_done_callback(partial(_stop_when_failed, lifecycle))

    async def end(self) -> None:
        """Let the loops finish what they are at; cancel what a store that does not answer keeps.

        Once is not always enough: before Python 3.12 a wait that completes in the moment it is cancelled loses the
        cancellation (`asyncio.wait_for`, which redis-py sends with).
        """
        self._stop.set()
        _, pending = await asyncio.wait(self._tasks, timeout=_FINISH_SECONDS)
        for _ in range(_CANCEL_ATTEMPTS):
            if not pending:
                return
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=_CANCEL_SECONDS)
        log.error("background tasks did not end", tasks=[task.get_name() for task in pending])


async def _run(watch: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event) -> None:
    await watch(stop)


def _stop_when_failed(lifecycle: Lifecycle, task: asyncio.Task[None]) -> None:
    """A background loop that died leaves the worker half alive: better a new one."""
    if task.cancelled() or (error := task.exception()) is None:
        return
    log.critical("background task failed, stopping", task=task.get_name(), kind=type(error).__name__)
    lifecycle.failed = True
    signal.raise_signal(signal.SIGTERM)
