"""Calls of concurrent requests go to Redis together: one round trip for all of a turn of the event loop."""

import asyncio
from collections.abc import Sequence
from functools import cached_property

from service.counters.calls import ScriptCall
from service.counters.commands import PING, evalsha
from service.counters.servers import Servers
from service.counters.waiting import Traffic, Waiting


class ScriptBatcher:
    """What every request of a worker shares. `traffic` is for metrics."""

    def __init__(self, servers: Servers, traffic: Traffic) -> None:
        self._servers = servers
        self.traffic = traffic

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """Kept: asking for it costs a system call before Python 3.12."""
        return asyncio.get_running_loop()

    @property
    def is_cluster(self) -> bool:
        """Whether the keys of a call must be of one tenant."""
        return self._servers.is_cluster

    @property
    def queued(self) -> int:
        """Calls not yet sent."""
        return sum(lane.queued for lane in self._servers.lanes)

    @property
    def breaker_is_open(self) -> bool:
        """Whether a server is not asked, since it did not answer."""
        return any(lane.breaker.is_open for lane in self._servers.lanes)

    @property
    def times_breaker_opened(self) -> int:
        return sum(lane.breaker.times_opened for lane in self._servers.lanes)

    async def run(self, call: ScriptCall) -> bytes:
        """The script's answer. Raises CountersUnavailableError, and then no other call of the round trip is disturbed.

        A call may have been carried out although its answer was lost: scripts must be safe to repeat.
        """
        return await self.submit(call)

    def submit(self, call: ScriptCall) -> asyncio.Future[bytes]:
        """As `run`, for several calls at a time."""
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._servers.put(Waiting(evalsha(call), answer, call))
        return answer

    async def run_everywhere(self, call: ScriptCall) -> Sequence[bytes]:
        """The answer of each primary, of a script without keys. Raises CountersUnavailableError."""
        return await self._ask_all(evalsha(call), call)

    async def ping(self) -> None:
        """Ask every primary. Raises CountersUnavailableError."""
        await self._ask_all(PING)

    async def close(self) -> None:
        """Let what is under way end, within the time-out, and close every connection."""
        await self._servers.close()

    async def _ask_all(self, command: bytes, call: ScriptCall | None = None) -> list[bytes]:
        lanes = await self._servers.find_lanes()
        return list(await asyncio.gather(*(lane.send(command, call) for lane in lanes)))
