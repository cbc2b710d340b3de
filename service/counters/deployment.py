"""What `governance check` asks Redis, on a connection of its own."""

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError

from service.counters.client import CountersUnavailableError
from service.domain.deployment import Clock, RedisFacts

_TIMEOUT_SECONDS = 2.0
# What a server says to HELLO without a password, or with a wrong one; redis-py has no kind of its own for it.
_ABOUT_PASSWORDS = re.compile("authenticat|password", re.IGNORECASE)


async def find_redis_facts(redis_url: str, clock: Callable[[], datetime]) -> RedisFacts:
    """Raises CountersUnavailableError; its message repeats nothing of the URL."""
    redis = Redis.from_url(
        redis_url,
        socket_timeout=_TIMEOUT_SECONDS,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        info = await redis.info()
        begun, begun_seconds = clock(), time.perf_counter()
        seconds, microseconds = await redis.time()
    except NoPermissionError as error:
        raise CountersUnavailableError("does not let the user of REDIS_URL run INFO and TIME") from error
    except (RedisError, OSError, TimeoutError) as error:
        if _ABOUT_PASSWORDS.search(str(error)):
            raise CountersUnavailableError("refuses the user or the password of REDIS_URL") from error
        raise CountersUnavailableError("does not answer at REDIS_URL") from error
    finally:
        await redis.aclose()
    round_trip_seconds = time.perf_counter() - begun_seconds
    ahead_seconds = seconds + microseconds / 1e6 - begun.timestamp() - round_trip_seconds / 2
    return _facts(info, Clock(ahead_seconds, round_trip_seconds))


def _facts(info: dict[str, Any], clock: Clock) -> RedisFacts:
    """INFO also tells where CONFIG may not be asked, as with most hosted servers."""
    name = str(info.get("server_name", "redis"))
    return RedisFacts(
        name=name,
        version=str(info.get(f"{name}_version") or info.get("redis_version", "")),
        role=str(info.get("role", "")),
        max_memory_bytes=int(info.get("maxmemory", 0)),
        used_memory_bytes=int(info.get("used_memory", 0)),
        eviction_policy=str(info.get("maxmemory_policy", "")),
        keeps_file=bool(info.get("aof_enabled", 0)),
        file_is_written=info.get("aof_last_write_status", "ok") == "ok",
        max_clients=int(info.get("maxclients", 0)),
        clock=clock,
    )
