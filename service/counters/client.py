"""The connection to Redis: scripts, bounded waits, no retry that is not ours."""

import asyncio
from collections.abc import Sequence

from service.counters.batching import ScriptBatcher
from service.counters.calls import CountersUnavailableError, Script, ScriptCall, load_script
from service.counters.cluster import Cluster
from service.counters.connections import connections_to
from service.counters.lane import Lane
from service.counters.redis_url import Address, parse_redis_url
from service.counters.servers import OneServer
from service.counters.waiting import Traffic
from service.settings import Settings

__all__ = ["CounterClient", "CountersUnavailableError", "Script", "ScriptCall", "load_script", "open_counters"]


class CounterClient:
    """Runs scripts; `batcher` runs one at a time, in one round trip with those of other requests."""

    def __init__(self, batcher: ScriptBatcher) -> None:
        self.batcher = batcher

    @property
    def is_cluster(self) -> bool:
        """Whether the keys of a call must be of one tenant."""
        return self.batcher.is_cluster

    async def run(self, calls: Sequence[ScriptCall]) -> list[bytes]:
        """Run the calls together, each atomic by itself. Raises CountersUnavailableError.

        A call may have been carried out although its answer was lost, and is made again when the server has lost the
        script: scripts must be safe to repeat.
        """
        return list(await asyncio.gather(*map(self.batcher.submit, calls)))

    async def ping(self) -> None:
        """Raises CountersUnavailableError."""
        await self.batcher.ping()

    async def close(self) -> None:
        """Let what is under way end, within the time-out, and close every connection."""
        await self.batcher.close()


def open_counters(settings: Settings) -> CounterClient:
    """Connects when first used. Raises ValueError when the URL cannot be understood."""
    url = parse_redis_url(settings.redis_url)
    timeout_seconds = settings.redis_timeout_ms / 1000
    traffic = Traffic()

    def open_lane(address: Address | None) -> Lane:
        return Lane(
            connections_to(url, address, timeout_seconds=timeout_seconds),
            timeout_seconds=timeout_seconds,
            trips_at_once=settings.redis_pool_size,
            traffic=traffic,
        )

    if url.kind == "cluster":
        open_lane(url.addresses[0])  # what is wrong with the URL is told now
    servers = Cluster(url.addresses, open_lane, traffic) if url.kind == "cluster" else OneServer(open_lane(None))
    return CounterClient(ScriptBatcher(servers, traffic))
