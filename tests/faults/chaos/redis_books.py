"""What Redis holds once nothing is under way: no hold of any call, and of each meter what the ledger's totals say."""

from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis

from service.store.postgres import Connection

# Every meter with its key in Redis, and the newest total the ledger has of it.
_METERS = """
WITH meters AS (
    SELECT 'budget:' || id AS meter_id, tenant_id FROM budgets
     UNION ALL SELECT 'tokens:' || id, tenant_id FROM rate_limits
     UNION ALL SELECT 'requests:' || id, tenant_id FROM rate_limits)
SELECT meters.meter_id, 'gov:{' || tenants.id || '}:meters:' || tenants.layout AS key, newest.*
  FROM meters JOIN tenants ON tenants.id = meters.tenant_id
  LEFT JOIN LATERAL (SELECT epoch, window_start, used FROM meter_windows
                      WHERE meter_windows.meter_id = meters.meter_id
                      ORDER BY epoch DESC, window_start DESC LIMIT 1) AS newest ON true
"""


async def find_wrong_counters(redis: Redis, connection: Connection) -> list[str]:
    """Each in words. A meter that is not in Redis is right: it is loaded when it is asked for."""
    wrong = []
    for row in await connection.fetch(_METERS):
        stored = await ask(redis, "HGET", row["key"], row["meter_id"])
        if stored is not None and (fault := _fault(stored.decode(), row)):
            wrong.append(f"{row['meter_id']} is {stored.decode()} in Redis: {fault}")
    return wrong + [fault async for fault in _holds(redis)]


def _fault(stored: str, row: Any) -> str | None:
    epoch, start_us, used = map(int, stored.split(":"))
    if row["epoch"] is None:
        return None if used == 0 else "nothing is booked"
    newest = (row["epoch"], int(row["window_start"].timestamp() * 1_000_000 + 0.5), row["used"])
    if (epoch, start_us) > newest[:2]:
        # A window that was begun, and of which nothing is booked yet.
        return None if used == 0 else f"nothing is booked of that window, only {newest}"
    return None if (epoch, start_us, used) == newest else f"{newest} is booked"


async def _holds(redis: Redis) -> AsyncIterator[str]:
    for key in await ask(redis, "KEYS", "gov:*:held"):
        yield f"{key.decode()} still holds {await ask(redis, 'HGETALL', key)}"
    for key in await ask(redis, "KEYS", "gov:*:holds"):
        under_way = [stored for stored in await ask(redis, "HVALS", key) if stored != b"e"]
        if under_way:
            yield f"{key.decode()} has {len(under_way)} calls that hold: {under_way[:2]}"


async def ask(redis: Redis, *command: str | bytes) -> Any:
    """redis-py's types are those of both its clients at once."""
    return await redis.execute_command(*command)  # type: ignore[no-untyped-call]
