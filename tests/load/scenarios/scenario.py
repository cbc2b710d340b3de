"""What a scenario is: sides to be measured in turn, and what must hold between the first and the second."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import msgspec

from service.http.routes import ROUTES
from tests.load.bench import Bench
from tests.load.figures import Floor, Sample


class Measure(msgspec.Struct, frozen=True):
    """A side that is ready: `run(seconds)` measures it once. `pid`: whose processor time is counted."""

    label: str
    run: Callable[[float], Sample]
    pid: int = 0


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table. `sides` starts what it needs and gives ours first, then what is beside it, if anything.

    With something beside it the floor is of the ratio, else of the value itself. What is done `once` is not warmed up
    for, nor repeated.
    """

    name: str
    says: str
    unit: str
    floor: Floor | None = None
    needs: Sequence[str] = ()
    once: bool = False
    sides: Callable[[Bench], AbstractContextManager[Sequence[Measure]]]

    def lacks(self) -> str | None:
        """What is missing on this machine, and how to get it; None when it can run."""
        return lack_of(self.needs)


def lack_of(needs: Sequence[str]) -> str | None:
    """The first of them that is missing, and how to get it."""
    return next((how for need in needs if (how := _lack(need)) is not None), None)


def _lack(need: str) -> str | None:
    if need in _PROGRAMS:
        return None if shutil.which(need) else f"{need} is not installed: {_PROGRAMS[need]}"
    return None if need in {route.path for route in ROUTES} else f"the service has no route {need}"


_PROGRAMS = {"wrk": "apt-get install wrk", "nginx": "apt-get install nginx-light"}
