"""What /metrics answers: this worker's metrics, and those of its siblings."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.telemetry.exposition import Block, join_blocks, read_process, write_blocks
from service.telemetry.families import read_families
from service.telemetry.metrics import METRICS, Parts
from service.telemetry.siblings import Siblings


class Measuring:
    """Reads the parts when asked; between that it costs nothing."""

    def __init__(self, parts: Parts, siblings: Siblings) -> None:
        self._parts = parts
        self._siblings = siblings

    @asynccontextmanager
    async def answering_siblings(self) -> AsyncIterator[None]:
        async with self._siblings.answering(self._read):
            yield

    async def expose(self) -> bytes:
        """The metrics of all workers as text."""
        own, others = await asyncio.gather(self._read(), self._siblings.ask())
        workers = {self._siblings.number: own, **others}
        return join_blocks(dict(sorted(workers.items())))

    async def _read(self) -> list[Block]:
        families = [*read_families(METRICS, self._parts), *read_process()]
        return await write_blocks(families, worker=self._siblings.number)
