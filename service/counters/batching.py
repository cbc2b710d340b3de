"""Calls of concurrent requests go to Redis together: one round trip for all of a turn of the event loop."""

import asyncio

from service.counters.calls import ScriptCall
from service.counters.commands import PING, evalsha
from service.counters.exchange import Waiting
from service.counters.lane import Lane, Traffic


class ScriptBatcher:
    """What every request of a worker shares."""

    def __init__(self, lane: Lane, traffic: Traffic) -> None:
        self._lane = lane
        self.traffic = traffic
        self.is_cluster = False

    @property
    def queued(self) -> int:
        """Calls not yet sent."""
        return self._lane.queued

    async def run(self, call: ScriptCall) -> bytes:
        """The script's answer. Raises CountersUnavailableError, and then no other call of the round trip is disturbed.

        A call may have been carried out although its answer was lost: scripts must be safe to repeat.
        """
        return await self.submit(call)

    def submit(self, call: ScriptCall) -> asyncio.Future[bytes]:
        """As `run`, for several calls at a time."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._lane.put(Waiting(evalsha(call), answer, call))
        return answer

    async def ping(self) -> None:
        """Raises CountersUnavailableError."""
        answer = asyncio.get_running_loop().create_future()
        self._lane.put(Waiting(PING, answer))
        await answer

    async def close(self) -> None:
        await self._lane.close()
