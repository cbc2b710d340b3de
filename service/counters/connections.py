"""Connections to one server, kept open between round trips."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection


class Connections:
    """As many as were lent at once. redis-py's pool only makes them: lending through it costs 20 µs a time."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._idle: list[AbstractConnection] = []

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[AbstractConnection]:
        """A connection nobody else uses; one whose use failed is closed, since replies may be on their way to it."""
        connection = self._idle.pop() if self._idle else self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await _ensure_connected(connection)
            yield connection
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._idle.append(connection)

    async def close(self) -> None:
        for connection in self._idle:
            await connection.disconnect()
        self._idle.clear()
        await self._pool.aclose()


async def _ensure_connected(connection: AbstractConnection) -> None:
    if connection.is_connected and await connection.can_read():
        await connection.disconnect(nowait=True)  # the server closed it, or said what nobody asked for
    if not connection.is_connected:
        await connection.connect()
