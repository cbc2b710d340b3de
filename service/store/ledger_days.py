"""The ledger's partitions: one for each day (UTC), and the default one, where rows land whose day has none.

What changes them waits briefly for a lock and tries again: whoever waits for a table makes all others wait as well.
"""

# asyncpg's classes are generic for the type checker only.
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

import asyncpg
import msgspec

from service.store.postgres import Connection
from service.store.queries import queries

# Maintenance may fail for so long before a row lands in the default partition.
DAYS_AHEAD = 7
_LOCK_ATTEMPTS = 20
_LOCK_TIMEOUT_MS = 200
_LOCK_PAUSE_SECONDS = 0.25
# Others wait for as long as the default partition is read through; when it is too large for that, it is left as it is.
_LOCKED_TIMEOUT_MS = 2_000
_MOVED_PER_STATEMENT = 20_000
# Read through in some hundredths of a second.
_LARGE_BYTES = 64 * 1024 * 1024
T = TypeVar("T")


class LedgerBusyError(Exception):
    """Others would have had to wait for long; nothing was changed."""


class Partition(msgspec.Struct, frozen=True):
    """What was recorded from `from_at` on and before `to_at`; either may be without end."""

    name: str
    from_at: datetime
    to_at: datetime


async def add_days(connection: Connection, *, now: datetime) -> None:
    """Partitions for today and the days ahead that have none. Raises LedgerBusyError.

    None while the default partition is large: maintenance moves what is in it first.
    """
    if await queries.measure_default_partition(connection) > _LARGE_BYTES:
        return
    for day in await list_missing_days(connection, now=now):
        await add_day(connection, day)


async def list_missing_days(connection: Connection, *, now: datetime) -> list[date]:
    """Today and the days ahead that have no partition."""
    first = now.astimezone(UTC).date()
    last = first + timedelta(days=DAYS_AHEAD)
    return [row["day"] async for row in queries.list_missing_days(connection, first_day=first, last_day=last)]


async def add_day(connection: Connection, day: date) -> bool:
    """Whether the day got its partition; not while the default one has rows of it. Raises LedgerBusyError."""
    added: bool = await _briefly_locked(connection, lambda: queries.add_usage_day(connection, day=day))
    return added


async def list_outdated_partitions(connection: Connection, *, before: datetime) -> list[Partition]:
    """Those of which everything was recorded before that, oldest first."""
    return [Partition(**row) async for row in queries.list_outdated_partitions(connection, before=before)]


async def drop_partition(connection: Connection, name: str) -> None:
    """With all that is in it. Raises LedgerBusyError."""
    await _briefly_locked(connection, lambda: queries.drop_usage_partition(connection, name=name))


async def list_days_in_default(connection: Connection, *, before: date, limit: int) -> list[date]:
    """Days of which the default partition has rows."""
    rows = queries.list_days_in_default(connection, before_day=before, days_limit=limit)
    return [row["day"] async for row in rows]


async def count_in_default(connection: Connection, day: date, *, at_most: int) -> int:
    count: int = await queries.count_in_default(connection, day=day, at_most=at_most)
    return count


async def move_day(connection: Connection, day: date, *, progress: Callable[[int], None]) -> int:
    """Give a day that is over its partition, with its rows of the default one; answers how many.

    In one transaction, so that no reader sees them twice or not at all; only its last statement makes others wait.
    `progress` is told how many so far. Raises LedgerBusyError.
    """
    await _briefly_locked(connection, lambda: queries.close_usage_day(connection, day=day))
    moved = 0
    async with connection.transaction():
        await queries.create_usage_day(connection, day=day)
        while batch := await queries.move_usage(connection, day=day, batch_limit=_MOVED_PER_STATEMENT):
            moved += batch
            progress(moved)
        await queries.check_usage_moved(connection)
        await _briefly_locked(connection, lambda: queries.finish_usage_move(connection, day=day))
    return moved


async def vacuum_default_partition(connection: Connection) -> None:
    """Give back the room of what was moved. Not in a transaction."""
    await queries.vacuum_default_partition(connection)


async def _briefly_locked(connection: Connection, work: Callable[[], Awaitable[T]]) -> T:
    """Do it in a transaction, or a part of the one that is open: again when it would wait for long."""
    for attempt in range(_LOCK_ATTEMPTS):
        if attempt:
            await asyncio.sleep(_LOCK_PAUSE_SECONDS)
        try:
            async with connection.transaction():
                await queries.limit_waits(
                    connection, lock_timeout_ms=_LOCK_TIMEOUT_MS, statement_timeout_ms=_LOCKED_TIMEOUT_MS
                )
                return await work()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            last_error = error
        except asyncpg.QueryCanceledError as error:
            raise LedgerBusyError("the ledger's default partition takes too long to read through") from error
    raise LedgerBusyError("others had the ledger in use, again and again") from last_error
