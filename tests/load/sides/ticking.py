"""The service with a clock in its event loop, to see how long one turn keeps everybody else waiting.

`python -m tests.load.sides.ticking FILE`, settings in the environment. A timer goes off every millisecond; between
two of them the loop's thread had so much processor time, all of it in others' way. Processor time, not the time of day:
what another process takes of the core is not held against the service. On SIGUSR1 the longest so far, in ms, is written
to FILE.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from service.cli.environment import run
from service.lifecycle import serve
from service.settings import load_settings, to_environment
from tests.load import cores
from tests.load.bench import Bench, Deployment, Service
from tests.load.figures import Sample
from tests.load.programs import free_port, responds, running

_TICK_SECONDS = 0.001
_TOLD_SECONDS = 30.0


class Ticking(msgspec.Struct, frozen=True):
    """A service whose loop is watched."""

    service: Service
    file: Path

    def longest_ms(self, use: Callable[[], object]) -> Sample:
        """The longest the loop was held during `use`. Raises TimeoutError when the service does not tell."""
        self._told()
        use()
        return Sample(self._told())

    def _told(self) -> float:
        self.file.unlink(missing_ok=True)
        os.kill(self.service.pid, signal.SIGUSR1)
        deadline = time.monotonic() + _TOLD_SECONDS
        while not self.file.exists():
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.01)
        return float(self.file.read_text())


@contextmanager
def ticking(bench: Bench, deployment: Deployment, *, tree_cache_mb: int) -> Iterator[Ticking]:
    port, file = free_port(), bench.folder / "longest_ms"
    settings = msgspec.structs.replace(deployment.settings, port=port, tree_cache_mb=tree_cache_mb)
    with running(
        [sys.executable, "-m", "tests.load.sides.ticking", file],
        cores=cores.SERVICE,
        log=bench.log("ticking"),
        environment=to_environment(settings),
        answers=responds(port, "/ready"),
    ) as process:
        service = Service(f"http://127.0.0.1:{port}", settings.admin_token, deployment.values, process.pid)
        yield Ticking(service, file)


class Ticker:
    """Keeps the longest; every answer starts anew."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._loop = asyncio.get_running_loop()
        self._longest_seconds = 0.0
        self._last = time.thread_time()
        self._tick()

    def tell(self) -> None:
        partial = self._file.with_suffix(".partial")
        partial.write_text(str(self._longest_seconds * 1000))
        partial.rename(self._file)
        self._longest_seconds = 0.0
        self._last = time.thread_time()

    def _tick(self) -> None:
        now = time.thread_time()
        self._longest_seconds = max(self._longest_seconds, now - self._last)
        self._last = now
        self._loop.call_later(_TICK_SECONDS, self._tick)


async def main(file: str) -> None:
    ticker = Ticker(Path(file))
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, ticker.tell)
    await serve(load_settings(), reuse_port=False, stop=asyncio.Event())


if __name__ == "__main__":
    run(main(sys.argv[1]))
