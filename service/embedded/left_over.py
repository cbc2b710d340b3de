"""Servers of an earlier run that was killed: found by where they work, and stopped.

A pid in a file proves nothing, since the system gives the number to others. Both servers work *in*
their data folder, so a process is ours when its program and its working directory say so. That also
finds Postgres backends that outlived their postmaster, with which the next one would refuse to
start ("pre-existing shared memory block is still in use").
"""

import signal
import time
from pathlib import Path

import psutil

_CLEAN_END_SECONDS = 10
_KILL_SECONDS = 5
_POLL_SECONDS = 0.01


def end_left_over(folder: Path, *, program: str, pid_file: Path, stop_signal: int) -> None:
    """Ends every `program` that works in `folder`; the pid file is gone then, whoever it named.

    The one it names is asked to stop and given 10 s; the others are killed.
    """
    found = _processes(folder, program)
    leaders = [process for process in found if process.pid == _pid_in(pid_file)]
    for process in leaders:
        _signal(process, stop_signal)
    for process in found:
        _signal(process, signal.SIGCONT)  # it may have been frozen
    alive = _alive_after(found, seconds=_CLEAN_END_SECONDS) if leaders else found
    for process in alive:
        _signal(process, signal.SIGKILL)
    _alive_after(alive, seconds=_KILL_SECONDS)
    pid_file.unlink(missing_ok=True)


def signal_tree(pid: int, signal_number: int) -> None:
    """Signals a server and its children; the server first, so that it starts no more meanwhile."""
    try:
        server = psutil.Process(pid)
        processes = [server, *server.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in processes:
        _signal(process, signal_number)


def _processes(folder: Path, program: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _is_ours(process, folder, program)]


def _is_ours(process: psutil.Process, folder: Path, program: str) -> bool:
    try:
        return process.name() == program and Path(process.cwd()) == folder
    except psutil.Error:
        return False  # ended meanwhile, or another user's


def _alive_after(processes: list[psutil.Process], *, seconds: float) -> list[psutil.Process]:
    """Waits until all have ended, no longer than told; returns those that have not."""
    deadline = time.monotonic() + seconds
    while (alive := [process for process in processes if _is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return alive


def _is_alive(process: psutil.Process) -> bool:
    """A process that ended is not, though its parent may never collect it (the first one of a container)."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _pid_in(pid_file: Path) -> int | None:
    first_line = pid_file.read_text().partition("\n")[0].strip() if pid_file.exists() else ""
    return int(first_line) if first_line.isdigit() else None


def _signal(process: psutil.Process, signal_number: int) -> None:
    try:
        process.send_signal(signal_number)
    except psutil.NoSuchProcess:
        return  # what was wanted
