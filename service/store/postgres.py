"""The connection pool, and the one place where Postgres' failures become the service's words."""

# asyncpg's classes are generic for the type checker only.
from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy
from msgspec import Raw

from service.domain.measures import Distribution, RoundTrips
from service.settings import Settings
from service.store.refusals import translated_refusals

log = structlog.get_logger()

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]"

APPLICATION_NAME = "governance"
# SQLSTATEs that say "not now": connection (08), insufficient resources (53), cancelled by time-out, shutdown or
# start-up (57), read-only standby (25006).
_UNAVAILABLE_STATES = ("08", "53", "55", "57", "25006")
# Wrong user or password (28), no such database (3D): mended where Postgres is, not by a restart here.
_REFUSED_STATES = ("28", "3D")
_UNDEFINED_TABLE = "42P01"
# Anything else of class 42: a schema or grants that are not what this version needs.
_NOT_AS_NEEDED_STATES = ("42",)
_ACQUIRE_TIMEOUT_SECONDS = 2.0
# Longer than Postgres takes to find a deadlock, with all that queues up meanwhile.
_TURN_TIMEOUT_SECONDS = 5.0
_CONNECT_TIMEOUT_SECONDS = 2.0
_COMMAND_TIMEOUT_SECONDS = 3.0


class StoreUnavailableError(Exception):
    """Postgres does not answer, or not yet as this version needs it. The message may be shown to a client."""


class Store:
    """A lazy pool: it connects when first asked, so that the service starts, and says so, without Postgres."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool
        # Changes of one tree wait for each other: not with all the connections reads need.
        self._changing = asyncio.Semaphore(max(1, pool.get_max_size() // 2))
        # How long who asked for a connection waited for one, and had it.
        self.wait_seconds = Distribution()
        self.round_trips = RoundTrips()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for a few statements. Raises StoreUnavailableError."""
        try:
            with translated_failures():
                begun_seconds = time.perf_counter()
                async with self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_SECONDS) as connection:
                    acquired_seconds = time.perf_counter()
                    self.wait_seconds.observe(acquired_seconds - begun_seconds)
                    try:
                        yield connection
                    finally:
                        self.round_trips.seconds.observe(time.perf_counter() - acquired_seconds)
        except StoreUnavailableError:
            self.round_trips.errors["unavailable"] += 1
            raise

    def connections(self) -> dict[str, int]:
        """How many there are: in use, and idle."""
        size, idle = self._pool.get_size(), self._pool.get_idle_size()
        return {"used": size - idle, "idle": idle}

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A connection on which every statement sees one state of the database."""
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection for a change, committed at the end.

        Raises RefusedError for what a constraint refuses, ConcurrentChangeError when another change was in the way, and
        StoreUnavailableError.
        """
        try:
            async with asyncio.timeout(_TURN_TIMEOUT_SECONDS):
                await self._changing.acquire()
        except TimeoutError as error:
            raise StoreUnavailableError("too many changes at once") from error
        try:
            async with self.connection() as connection:
                with translated_refusals():
                    async with connection.transaction():
                        yield connection
        finally:
            self._changing.release()

    async def close(self) -> None:
        """Close idle connections; those in use are given no more time than a drain leaves."""
        self._pool.terminate()


async def open_store(settings: Settings) -> Store:
    """Raises ValueError when the URL cannot be understood."""
    pool = asyncpg.create_pool(
        settings.database_url,
        min_size=0,
        max_size=settings.database_pool_size,
        timeout=_CONNECT_TIMEOUT_SECONDS,
        command_timeout=_COMMAND_TIMEOUT_SECONDS,
        init=_prepare_connection,
        reset=_keep_as_it_is,
        server_settings={"application_name": APPLICATION_NAME, "jit": "off"},
    )
    return Store(await pool)


async def connect(database_url: str) -> asyncpg.Connection[asyncpg.Record]:
    """One connection for a command's long work: no time-out per statement. Raises StoreUnavailableError."""
    with translated_failures():
        connection = await asyncpg.connect(
            database_url,
            timeout=_CONNECT_TIMEOUT_SECONDS,
            server_settings={"application_name": APPLICATION_NAME},
        )
        await _prepare_connection(connection)
    return connection


@contextmanager
def translated_failures() -> Iterator[None]:
    """Raises StoreUnavailableError for what says "not now"; everything else passes as it is."""
    try:
        yield
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise StoreUnavailableError("Postgres does not answer") from error
    except asyncpg.PostgresError as error:
        sqlstate = error.sqlstate or ""
        if sqlstate == _UNDEFINED_TABLE:
            raise StoreUnavailableError("the database is not migrated: run `governance migrate`") from error
        if sqlstate.startswith(_REFUSED_STATES):
            raise StoreUnavailableError("Postgres refuses the user or the database of DATABASE_URL") from error
        if sqlstate.startswith(_NOT_AS_NEEDED_STATES):
            log.warning("Postgres refused a statement", sqlstate=sqlstate)
            raise StoreUnavailableError("the database refuses: is it migrated, and may its user use it?") from error
        if sqlstate.startswith(_UNAVAILABLE_STATES):
            raise StoreUnavailableError("Postgres does not take requests now") from error
        raise


async def _prepare_connection(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    # Free JSON is passed through as it is stored: neither decoded nor encoded on its way to the wire.
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda document: b"\x01" + bytes(document),
        decoder=lambda stored: Raw(stored[1:]),
    )


async def _keep_as_it_is(connection: Any) -> None:
    """asyncpg's reset costs a round trip per use; nothing here changes a session's state."""
