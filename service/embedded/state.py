"""The state folder: where a local run keeps its data, locked for one run at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StateFolderBusy(Exception):  # noqa: N818 - reads as what happened
    """Another process holds the state folder; the message names both."""


def create_state_folder(path: Path) -> None:
    """Creates the folder, private to the current user; an existing one is left as it is.

    Made by root its mode is 0711, not 0700: Postgres refuses to run as root, and its user must pass
    through to its data. What is inside is private to its owner either way.
    """
    if path.is_dir():
        return
    mode = 0o711 if os.geteuid() == 0 else 0o700
    path.mkdir(mode=mode, parents=True, exist_ok=True)  # servers that start together all make it
    path.chmod(mode)  # mkdir leaves out what the umask masks


@contextmanager
def hold_state_folder(path: Path) -> Iterator[Path]:
    """Gives the folder, absolute, to this process alone until the block ends or the process does.

    Raises StateFolderBusy.
    """
    folder = path.resolve()
    create_state_folder(folder)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock_or_refuse(lock, folder)
        yield folder
    finally:
        # A worker forked meanwhile shares the lock: closing alone would leave it held.
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


def _lock_or_refuse(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode().strip() or "unknown"
        raise StateFolderBusy(f"{folder} is in use by process {holder}") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
