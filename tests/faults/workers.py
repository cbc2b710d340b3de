"""Workers of these tests' own, each a process on a port of its own: asked, killed, frozen and started again by name."""

import asyncio
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from service.settings import Settings, to_environment
from tests.faults.processes import Running, free_port, kill, start, wait_for_status, wait_until_gone

_READY_SECONDS = 60


class Worker:
    """`governance serve` with one process."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        self._folder = folder
        self._environment = {**environment, "PORT": str(self.port)}
        self._command: Running | None = None

    @property
    def command(self) -> Running:
        """Raises AssertionError before it was started."""
        assert self._command is not None
        return self._command

    def start(self) -> None:
        self._command = start("serve", folder=self._folder, environment=self._environment)

    async def ready(self) -> None:
        await wait_for_status(self.port, "/ready", 200, seconds=_READY_SECONDS)

    async def kill(self) -> None:
        """Returns when it is gone."""
        family = self.command.family()
        self.command.send(signal.SIGKILL)
        await wait_until_gone(family)
        self.command.collect()

    def end(self) -> None:
        if self._command is not None:
            kill(self._command)


@contextmanager
def running_workers(folder: Path, settings: Settings, number: int, **variables: str) -> Iterator[list[Worker]]:
    """So many, started but not ready yet; killed when the block ends. `variables` are named as in the environment."""
    environment = to_environment(settings) | {"GOVERNANCE_DRAIN_SECONDS": "0"} | variables
    workers = [Worker(folder / f"worker-{place}", environment) for place in range(1, number + 1)]
    try:
        for worker in workers:
            worker.start()
        yield workers
    finally:
        for worker in workers:
            worker.end()


async def until_ready(workers: Iterable[Worker]) -> None:
    await asyncio.gather(*(worker.ready() for worker in workers))
