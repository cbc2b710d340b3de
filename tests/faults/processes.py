"""The `governance` command as real processes: started, asked, signalled, and never left behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil

from tests.waiting import until

_REPOSITORY = Path(__file__).parents[2]
_COMMAND = (sys.executable, "-m", "service")
_COMMAND_SECONDS = 30
_INHERITED = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if name in os.environ}


class Finished(msgspec.Struct, frozen=True):
    """A command that ended; `output` is both streams."""

    exit_code: int
    output: str


class Running:
    """A command that runs; `output` is what it has said so far, on both streams."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid

    @property
    def output(self) -> str:
        return self._log.read_text()

    def send(self, signal_number: int) -> None:
        self._process.send_signal(signal_number)

    def family(self) -> list[psutil.Process]:
        """It and all that it started."""
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]

    def workers(self) -> list[psutil.Process]:
        return [process for process in self.family() if "worker" in process.cmdline()]

    def collect(self) -> None:
        """Once it was killed."""
        self._process.wait(10)

    async def exit_code(self, *, seconds: float = 10) -> int:
        """Raises TimeoutError when it does not end in time."""

        async def ended() -> bool:
            return self._process.poll() is not None

        await until(ended, seconds=seconds)
        return self._process.returncode


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def governance(*arguments: str, folder: Path, environment: Mapping[str, str]) -> Finished:
    """Run a command to its end."""
    finished = subprocess.run(
        [*_COMMAND, *arguments],
        cwd=folder,
        env=_environment(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    return Finished(finished.returncode, finished.stdout.decode())


@contextmanager
def running(*arguments: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Running]:
    """Start a command; when the block ends, it and all it started are killed if they are still there."""
    command = start(*arguments, folder=folder, environment=environment)
    try:
        yield command
    finally:
        kill(command)


def start(*arguments: str, folder: Path, environment: Mapping[str, str]) -> Running:
    """Start a command, to be ended by `kill`; what it says goes on at the end of what one before it said there."""
    log = folder / "output.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*_COMMAND, *arguments],
            cwd=folder,
            env=_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return Running(process, log)


def kill(command: Running) -> None:
    """It and all it started, as far as they are there; frozen ones too."""
    with suppress(psutil.NoSuchProcess):
        for member in command.family():
            member.send_signal(signal.SIGKILL)
    command.collect()


async def ask(port: int, path: str) -> tuple[int, Any]:
    """Status and decoded body, over a connection of its own. Raises aiohttp.ClientError, TimeoutError."""
    timeout = aiohttp.ClientTimeout(total=5)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, await response.json()


async def wait_for_status(port: int, path: str, status: int, *, seconds: float = 20) -> None:
    async def answered() -> bool:
        try:
            return (await ask(port, path))[0] == status
        except (aiohttp.ClientError, TimeoutError):
            return False  # not listening yet

    await until(answered, seconds=seconds)


async def wait_until_gone(processes: list[psutil.Process], *, seconds: float = 5) -> None:
    async def gone() -> bool:
        return not any(map(_lives, processes))

    await until(gone, seconds=seconds)


def _lives(process: psutil.Process) -> bool:
    """False for one that ended and was not collected yet."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {**_INHERITED, "PYTHONPATH": str(_REPOSITORY), **environment}
