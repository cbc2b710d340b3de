"""Concurrent callers who ask the same share one answer, and still none gets one that was begun before it asked."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedRuns(Generic[K, V]):
    """Per key at most one run is under way and one is waiting to start.

    Who calls while a run is under way joins the waiting one: what it reads is read after the call, as if it ran alone.
    """

    def __init__(self) -> None:
        self._under_way: dict[K, asyncio.Task[V]] = {}
        self._waiting: dict[K, asyncio.Task[V]] = {}

    async def join(self, key: K, run: Callable[[], Awaitable[V]]) -> V:
        """Answer what the next run for `key` answers, or raise what it raises."""
        task = self._waiting.get(key)
        if task is None:
            task = asyncio.create_task(self._run(key, run))
            self._waiting[key] = task
        # One caller who goes away does not stop the run of the others.
        return await asyncio.shield(task)

    async def _run(self, key: K, run: Callable[[], Awaitable[V]]) -> V:
        before = self._under_way.get(key)
        if before is not None:
            await asyncio.wait([before])
        task = self._waiting.pop(key)
        self._under_way[key] = task
        try:
            return await run()
        finally:
            if self._under_way.get(key) is task:
                del self._under_way[key]
