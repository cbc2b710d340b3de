"""Connections to one server, kept open between round trips."""

from typing import Any

from redis.asyncio import (
    ConnectionPool,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
    SSLConnection,
)
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from service.counters.redis_url import Address, RedisUrl


class Connections:
    """As many as were taken at once. redis-py's pool only makes them: lending through it costs 20 µs a time."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._idle: list[AbstractConnection] = []

    async def take(self) -> AbstractConnection:
        """A connection nobody else uses, until it is given back."""
        connection = self._idle.pop() if self._idle else self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await _ensure_connected(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    def give_back(self, connection: AbstractConnection) -> None:
        """For others to take. Not one whose use failed: replies may be on their way to it."""
        self._idle.append(connection)

    async def close(self) -> None:
        for connection in self._idle:
            await connection.disconnect()
        self._idle.clear()
        await self._pool.aclose()


def connections_to(url: RedisUrl, address: Address | None, *, timeout_seconds: float) -> Connections:
    """To the server at the address; without one, to the server the URL names, or to the primary its Sentinels know.

    Raises ValueError when the URL has options that no connection takes.
    """
    options = url.options | _common_options(timeout_seconds)
    if url.kind == "sentinel":
        pool = _sentinel_pool(url, options, timeout_seconds=timeout_seconds)
    else:
        pool = ConnectionPool(**options | ({"host": address.host, "port": address.port} if address else {}))
    try:
        pool.make_connection()  # type: ignore[no-untyped-call]
    except TypeError:
        raise ValueError("REDIS_URL has an option that no connection takes") from None
    return Connections(pool)


async def _ensure_connected(connection: AbstractConnection) -> None:
    if connection.is_connected and await connection.can_read():
        await connection.disconnect(nowait=True)  # the server closed it, or said what nobody asked for
    if not connection.is_connected:
        await connection.connect()  # type: ignore[no-untyped-call]


def _common_options(timeout_seconds: float) -> dict[str, Any]:
    return {
        # The time-out is around a whole round trip; redis-py's, for each reply, costs as much as the reply.
        "socket_timeout": None,
        "socket_connect_timeout": timeout_seconds,
        # redis-py's own retry would apply a lost answer's script again behind the caller's back.
        "retry": Retry(NoBackoff(), 0),
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _sentinel_pool(url: RedisUrl, options: dict[str, Any], *, timeout_seconds: float) -> ConnectionPool:
    # They are asked one after the other, and all of that is within one round trip.
    seconds_each = timeout_seconds / (len(url.addresses) + 1)
    sentinel_options = _common_options(seconds_each) | {"socket_timeout": seconds_each} | url.sentinel_options
    uses_tls = options.pop("connection_class", None) is SSLConnection
    if uses_tls:
        sentinel_options |= {"ssl": True} | {name: options[name] for name in options if name.startswith("ssl_")}
    addresses = [(address.host, address.port) for address in url.addresses]
    sentinel = Sentinel(addresses, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
    return _PrimaryPool(  # type: ignore[no-untyped-call]
        url.primary_name,
        sentinel,
        connection_class=SentinelManagedSSLConnection if uses_tls else SentinelManagedConnection,
        **options,
    )


class _PrimaryPool(SentinelConnectionPool):
    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()
