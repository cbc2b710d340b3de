"""Several worker processes on one port: started, started again when they die, and stopped together.

Each worker is the same program as a single one; the kernel spreads connections over them (SO_REUSEPORT). A worker's
standard input is a pipe from here: when this process dies, however it dies, the pipe ends and the worker stops.
"""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence

import structlog

from service.settings import Settings, to_environment

log = structlog.get_logger()

_RESTART_DELAY_SECONDS = 0.5
# Longer than a worker takes to drain and finish; then it is killed.
STOP_TIMEOUT_SECONDS = 32.0


class PortInUseError(Exception):
    """Another program listens there."""


async def supervise(settings: Settings, stop: asyncio.Event) -> None:
    """Keep `settings.workers` workers running until `stop`. Raises PortInUseError before the first is started."""
    check_port(settings)
    # Where the workers find each other: new for each run, so that nothing of an earlier one is in it.
    with tempfile.TemporaryDirectory(prefix="governance-", ignore_cleanup_errors=True) as folder:
        async with asyncio.TaskGroup() as group:
            for number in range(1, settings.workers + 1):
                program = (sys.executable, "-m", "service", "worker", f"--number={number}", f"--siblings={folder}")
                group.create_task(_keep_running(number, program, settings, stop), name=f"worker {number}")


def check_port(settings: Settings) -> None:
    """With SO_REUSEPORT a second service on the port would share its connections without a word."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise PortInUseError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error


def stop_on_signal(stop: asyncio.Event) -> None:
    """Set `stop` on Ctrl-C and SIGTERM."""
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, stop.set)


async def stop_with_input(stop: asyncio.Event) -> None:
    """In a worker: set `stop` when standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    await reader.read()
    stop.set()


async def _keep_running(number: int, program: Sequence[str], settings: Settings, stop: asyncio.Event) -> None:
    stopping = asyncio.create_task(stop.wait())
    while not stop.is_set():
        process = await asyncio.create_subprocess_exec(
            *program,
            env=os.environ | to_environment(settings),
            stdin=PIPE,
            # Its own session: Ctrl-C in a terminal reaches this process only, which stops them in order.
            start_new_session=True,
        )
        ended = asyncio.create_task(process.wait())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            await _stop(process, ended)
            return
        log.warning("worker ended, starting it again", worker=number, exit_code=ended.result())
        await asyncio.wait([stopping], timeout=_RESTART_DELAY_SECONDS)


async def _stop(process: Process, ended: asyncio.Task[int]) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    await asyncio.wait([ended], timeout=STOP_TIMEOUT_SECONDS)
    if process.returncode is None:
        process.kill()
        await ended
