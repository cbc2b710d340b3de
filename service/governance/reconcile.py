"""The reconciler: whatever happened between a commit and its merge, Redis comes level with the ledger within seconds.

Every few seconds it merges the totals that changed since it last did, however long Redis did not answer in between.
When one of Redis' servers is another run than then (a restart that lost the tail of its file, a failover to a replica
that lagged), it merges all of them. One replica does it at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from service.counters.client import CounterClient, CountersUnavailableError
from service.counters.meters import merge_windows
from service.counters.server_run import find_server_runs, mark_reconciled
from service.domain.meters import MeterWindow
from service.governance.background import repeat
from service.store.ledger import list_recent_windows, list_windows, try_lock_reconciler
from service.store.postgres import Store, StoreUnavailableError

_INTERVAL_SECONDS = 2.0
# Longer than a transaction that books usage can take: a change is stamped when it begins and seen when it commits.
_LOOK_BACK = timedelta(seconds=30)
_PAGE = 5000
log = structlog.get_logger()


class Reconciler:
    """`drift_meters` counts the totals found missing or behind in Redis since the start."""

    def __init__(self, store: Store, counters: CounterClient) -> None:
        self._store = store
        self._counters = counters
        self.drift_meters = 0

    async def watch(self, stop: asyncio.Event) -> None:
        """Reconcile until `stop`. A store that does not answer is waited for; the probes tell of it."""
        await repeat(self._reconcile_if_stores_answer, every_seconds=_INTERVAL_SECONDS, stop=stop)

    async def reconcile(self) -> None:
        """Once. Raises StoreUnavailableError, CountersUnavailableError."""
        runs = await find_server_runs(self._counters)
        async with self._store.connection() as connection, connection.transaction():
            if not await try_lock_reconciler(connection):
                return
            if runs.reconciled_before is None:
                await self._merge_pages(lambda last: list_windows(connection, last, limit=_PAGE))
            else:
                look_back = runs.reconciled_before + _LOOK_BACK
                await self._merge_pages(
                    lambda last: list_recent_windows(connection, last, look_back=look_back, limit=_PAGE)
                )
        await mark_reconciled(self._counters, runs)

    async def _reconcile_if_stores_answer(self) -> None:
        try:
            await self.reconcile()
        except (StoreUnavailableError, CountersUnavailableError):
            log.debug("not reconciled: a store does not answer")

    async def _merge_pages(self, read_page: Callable[[MeterWindow | None], Awaitable[list[MeterWindow]]]) -> None:
        page = await read_page(None)
        while page:
            await self._merge(page)
            page = await read_page(page[-1])

    async def _merge(self, windows: list[MeterWindow]) -> None:
        drift_meters = await merge_windows(self._counters, windows)
        if drift_meters:
            self.drift_meters += drift_meters
            log.info("counters were behind the ledger", meters=drift_meters)
