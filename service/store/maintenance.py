"""Whose turn maintenance is, and the deletion of what is old: all of it in batches, each in its own transaction."""

# asyncpg's classes are generic for the type checker only.
from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from service.store.postgres import Connection, connect, translated_failures
from service.store.queries import queries

# An arbitrary constant: no other advisory lock of this database uses it.
_LOCK_ID = 4_701_201_980


class MaintenanceError(Exception):
    """Postgres refused something; the message says what it said."""


class OldRows(msgspec.Struct, frozen=True):
    """Rows of a table that go by age; `time_column` is indexed."""

    table: str
    time_column: str


class WindowPlace(msgspec.Struct, frozen=True):
    """A window of a meter, in the order of the primary key."""

    meter_id: str = ""
    epoch: int = 0
    window_start: datetime = datetime(1970, 1, 1, tzinfo=UTC)


class WindowPage(msgspec.Struct, frozen=True):
    """`deleted` windows of a page that ends with `last`."""

    deleted: int
    last: WindowPlace


class VirtualKeyPlace(msgspec.Struct, frozen=True):
    """A virtual key, in the order of expiry."""

    id: str = ""
    expires_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)


async def begin_maintenance(connection: Connection, *, now: datetime, interval: timedelta) -> bool:
    """Whether it is this caller's turn: the last one's began `interval` ago."""
    return await queries.begin_maintenance(connection, now=now, interval=interval) is not None


@asynccontextmanager
async def maintaining(database_url: str) -> AsyncIterator[Connection | None]:
    """A connection for long work while nobody else maintains; None when somebody does.

    Another one holds the lock, in a transaction: behind a pooler nothing else is held on to.
    Raises StoreUnavailableError, and MaintenanceError for what else Postgres refuses.
    """
    try:
        with translated_failures(), _closing(await connect(database_url)) as guard:
            async with guard.transaction():
                if not await queries.try_lock_maintenance(guard, lock_id=_LOCK_ID):
                    yield None
                    return
                with _closing(await connect(database_url)) as connection:
                    yield connection
    except asyncpg.PostgresError as error:
        raise MaintenanceError(f"{error.sqlstate}: {error.args[0]}") from error


async def delete_older(connection: Connection, rows: OldRows, *, before: datetime, limit: int) -> int:
    """At most `limit` of them, oldest first; answers how many."""
    deleted: int = await queries.delete_older(
        connection, table_name=rows.table, time_column=rows.time_column, before=before, batch_limit=limit
    )
    return deleted


async def count_older(connection: Connection, rows: OldRows, *, before: datetime, at_most: int) -> int:
    count: int = await queries.count_older(
        connection, table_name=rows.table, time_column=rows.time_column, before=before, at_most=at_most
    )
    return count


async def delete_short_windows(
    connection: Connection, *, before: datetime, kept: int, limit: int, dry_run: bool = False
) -> int:
    """Windows of at most an hour that began before that, but for the latest `kept` of each meter."""
    deleted: int = await queries.delete_short_windows(
        connection, before=before, kept=kept, batch_limit=limit, dry_run=dry_run
    )
    return deleted


async def delete_outlived_windows(
    connection: Connection, after: WindowPlace, *, before: datetime, kept: int, limit: int, dry_run: bool = False
) -> WindowPage | None:
    """Look through a page of the windows after that one; None when there is none.

    Of those that changed last before `before`, those of limits that are gone go, of the others all but the latest
    `kept` of each meter.
    """
    row = await queries.delete_outlived_windows(
        connection,
        before=before,
        kept=kept,
        after_meter_id=after.meter_id,
        after_epoch=after.epoch,
        after_window_start=after.window_start,
        page_limit=limit,
        dry_run=dry_run,
    )
    if row is None:
        return None
    return WindowPage(row["deleted"], WindowPlace(row["meter_id"], row["epoch"], row["window_start"]))


async def list_virtual_keys_to_delete(
    connection: Connection, after: VirtualKeyPlace, *, as_of: datetime, limit: int
) -> list[VirtualKeyPlace]:
    """Those that have expired, and are to be deleted when they have."""
    rows = queries.list_virtual_keys_to_delete(
        connection, as_of=as_of, after_at=after.expires_at, after_id=after.id, page_limit=limit
    )
    return [VirtualKeyPlace(**row) async for row in rows]


@contextmanager
def _closing(connection: asyncpg.Connection[asyncpg.Record]) -> Iterator[asyncpg.Connection[asyncpg.Record]]:
    """At once, also when Postgres does not answer."""
    try:
        yield connection
    finally:
        connection.terminate()
