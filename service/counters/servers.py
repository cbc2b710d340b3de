"""Which lane a call takes: there is one server, or a cluster of them (`cluster.py`)."""

from collections.abc import Sequence
from typing import Protocol

from service.counters.lane import Lane
from service.counters.waiting import Waiting


class Servers(Protocol):
    """The primaries there are."""

    is_cluster: bool

    @property
    def lanes(self) -> Sequence[Lane]:
        """Those known by now."""

    def put(self, waiting: Waiting) -> None:
        """Send it to the server that has the keys."""

    async def find_lanes(self) -> Sequence[Lane]:
        """One to each primary. Raises CountersUnavailableError."""

    async def close(self) -> None: ...


class OneServer:
    """Every call takes the same lane."""

    is_cluster = False

    def __init__(self, lane: Lane) -> None:
        self.lanes: Sequence[Lane] = (lane,)
        self.put = lane.put
        self.close = lane.close

    async def find_lanes(self) -> Sequence[Lane]:
        return self.lanes
