"""Which core runs what: the service on the first, stores and load on the rest."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Read before anything is pinned.
ALL = frozenset(os.sched_getaffinity(0))
SERVICE = frozenset(sorted(ALL)[:1])
REST = frozenset(sorted(ALL)[1:]) or SERVICE


def move_here(cores: Collection[int]) -> None:
    """Pin this process; what it starts from now on inherits it."""
    os.sched_setaffinity(0, cores)


@contextmanager
def on(cores: Collection[int]) -> Iterator[None]:
    """What is started in the block runs on `cores`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(pid: int, cores: Collection[int]) -> None:
    """Pin another process with all its threads; one that ended meanwhile is none."""
    with suppress(FileNotFoundError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cores)
