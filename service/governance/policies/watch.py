"""Keep what workers hold in memory as Postgres has it: told of changes at once, and asking every second as well."""

import asyncio
from contextlib import suppress

import structlog

from service.governance.policies.cache import Policies
from service.governance.policies.prices import PriceBook
from service.store.changes import PRICES, TENANTS, Listener
from service.store.postgres import StoreUnavailableError

_POLL_SECONDS = 1.0
_MOST_CHANGED = 10_000
log = structlog.get_logger()


class PolicyWatch:
    """Listens on a connection of its own; when that breaks, everything is doubted once there is a new one."""

    def __init__(self, database_url: str, policies: Policies, prices: PriceBook) -> None:
        self._database_url = database_url
        self._policies = policies
        self._prices = prices

    async def watch(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                async with Listener(self._database_url, self._told) as listener:
                    self._policies.doubt_all()
                    self._prices.doubt()
                    await self._poll(listener, stop)
            except StoreUnavailableError:
                log.debug("not listening for changes: Postgres does not answer")
            await _pause(stop)

    async def _poll(self, listener: Listener, stop: asyncio.Event) -> None:
        while not stop.is_set():
            changed = await listener.poll(limit=_MOST_CHANGED)
            for tenant in changed:
                self._policies.forget(tenant.id, tenant.revision)
            if len(changed) == _MOST_CHANGED:
                self._policies.doubt_all()
            await _pause(stop)

    def _told(self, channel: str, payload: str) -> None:
        if channel == PRICES:
            self._prices.doubt()
        elif channel == TENANTS:
            revision, _, tenant_id = payload.partition(" ")
            self._policies.forget(tenant_id, int(revision))


async def _pause(stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_POLL_SECONDS):
            await stop.wait()
