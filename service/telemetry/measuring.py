"""What /metrics answers: this worker's metrics, and those of its siblings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.telemetry.exposition import expose, read_process
from service.telemetry.metrics import METRICS, Family, Parts, read_families
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
        others = await self._siblings.ask()
        workers = {self._siblings.number: self._read(), **others}
        return expose(dict(sorted(workers.items())))

    def _read(self) -> list[Family]:
        return [*read_families(METRICS, self._parts), *read_process()]
