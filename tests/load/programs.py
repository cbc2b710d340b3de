"""Child processes of a measurement: started on their cores, waited for, and always ended."""

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.load.cores import on

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.005


class ProgramError(Exception):
    """A program did not start, or ended before its time; the message has the end of what it said."""


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    cores: Collection[int],
    log: Path,
    environment: Mapping[str, str] | None = None,
    answers: Callable[[], bool] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program on `cores` until the block ends; the block begins when it `answers`. Raises ProgramError."""
    with log.open("ab") as output, on(cores):
        process = subprocess.Popen(
            command,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        if answers is not None:
            _wait(process, answers, log)
        yield process
    finally:
        _end(process)


class Conversation:
    """A program that answers each line on its standard input with one on its standard output."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def ask(self, line: str) -> bytes:
        """Raises ProgramError when the program has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise ProgramError(f"{self._process.args!r} ended")
        return answer


@contextmanager
def talking(
    command: Sequence[str | Path],
    *,
    cores: Collection[int],
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Conversation]:
    """Run a program on `cores` until the block ends, and talk with it."""
    with log.open("ab") as errors, on(cores):
        process = subprocess.Popen(
            command,
            env=os.environ | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        yield Conversation(process)
    finally:
        process.kill()
        process.communicate(timeout=_STOP_SECONDS)


def responds(port: int, path: str) -> Callable[[], bool]:
    """Whether a GET of `path` on this machine is answered 200."""

    def answered() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False  # not listening yet
        finally:
            connection.close()

    return answered


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(process: "subprocess.Popen[bytes]", answers: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:]
            raise ProgramError(f"{process.args!r} did not start:\n{tail}")
        time.sleep(_POLL_SECONDS)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_STOP_SECONDS)
