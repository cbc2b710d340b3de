"""The connection to Redis: scripts, bounded waits, no retry that is not ours."""

import asyncio
from collections.abc import Sequence

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from service.counters.batching import ScriptBatcher
from service.counters.breaker import Breaker
from service.counters.calls import CountersUnavailableError, Script, ScriptCall, load_script
from service.counters.connections import Connections
from service.counters.lane import ROUND_TRIPS_AT_ONCE, Lane, Traffic
from service.settings import Settings

__all__ = ["CounterClient", "CountersUnavailableError", "Script", "ScriptCall", "load_script", "open_counters"]


class CounterClient:
    """Runs scripts; `batcher` runs one at a time, in one round trip with those of other requests."""

    def __init__(self, batcher: ScriptBatcher, breaker: Breaker) -> None:
        self.batcher = batcher
        self.breaker = breaker

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
    timeout_seconds = settings.redis_timeout_ms / 1000
    traffic = Traffic()
    pool = ConnectionPool.from_url(
        settings.redis_url,
        max_connections=max(settings.redis_pool_size, ROUND_TRIPS_AT_ONCE),
        # The time-out around a whole round trip, not one for each reply.
        socket_timeout=None,
        socket_connect_timeout=timeout_seconds,
        # redis-py's own retry would apply a lost answer's script again behind the caller's back.
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    lane = Lane(Connections(pool), timeout_seconds=timeout_seconds, traffic=traffic)
    return CounterClient(ScriptBatcher(lane, traffic), lane.breaker)
