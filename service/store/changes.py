"""Being told of changes: a connection of its own that listens, since what is sent meanwhile is not kept for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any

import asyncpg

from service.store.policies import ChangedTenant, list_changed_tenants
from service.store.postgres import connect, translated_failures

TENANTS = "governance_tenants"
PRICES = "governance_prices"
_POLL_SECONDS = 2.0
# Longer than the transaction of a change can take: it is stamped when that begins and seen when it commits.
_LOOK_BACK = timedelta(seconds=30)


class Listener:
    """Listens while it is open; `tell(channel, payload)` is called for each notification."""

    def __init__(self, database_url: str, tell: Callable[[str, str], None]) -> None:
        self._database_url = database_url
        self._tell = tell

    async def __aenter__(self) -> Listener:
        """Raises StoreUnavailableError."""
        self._connection: asyncpg.Connection[asyncpg.Record] = await connect(self._database_url)
        with translated_failures():
            for channel in (TENANTS, PRICES):
                await self._connection.add_listener(channel, self._notified)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.terminate()

    async def poll(self, *, limit: int) -> list[ChangedTenant]:
        """What changed lately, should its notification have been lost.

        Raises StoreUnavailableError: nothing would be heard any more either.
        """
        with translated_failures():
            async with asyncio.timeout(_POLL_SECONDS):
                return await list_changed_tenants(self._connection, look_back=_LOOK_BACK, limit=limit)

    def _notified(self, _connection: Any, _pid: int, channel: str, payload: object) -> None:
        self._tell(channel, str(payload))
