"""Whether the stores answer: asked in the background, so that who wants to know never waits for a store."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog

from service.counters.client import CounterClient, CountersUnavailableError
from service.domain.sealing import NotOpenedError, Sealer, sealed_virtual_key
from service.governance.background import repeat
from service.store.migrations import Migration, missing_migrations
from service.store.postgres import Connection, Store, StoreUnavailableError
from service.store.virtual_keys import SealedVirtualKey, list_some_sealed_virtual_keys

_PROBE_INTERVAL_SECONDS = 1.0
NOT_ASKED_YET = "not asked yet"
OK = "ok"
log = structlog.get_logger()


class Probes:
    """The last known state of each store: `ok`, or what is wrong with it."""

    def __init__(
        self,
        store: Store,
        counters: CounterClient,
        *,
        sealer: Sealer,
        migrations: Sequence[Migration],
    ) -> None:
        self._store = store
        self._counters = counters
        self._sealer = sealer
        self._migrations = migrations
        self.components = {"postgres": NOT_ASKED_YET, "redis": NOT_ASKED_YET}

    async def watch(self, stop: asyncio.Event) -> None:
        """Probe until `stop`; a change of state is logged once."""
        await asyncio.gather(
            *(
                repeat(partial(self._probe, component, ask), every_seconds=_PROBE_INTERVAL_SECONDS, stop=stop)
                for component, ask in (("postgres", self._ask_postgres), ("redis", self._counters.ping))
            )
        )

    async def _probe(self, component: str, ask: Callable[[], Awaitable[None]]) -> None:
        state = OK
        try:
            await ask()
        except (StoreUnavailableError, CountersUnavailableError) as error:
            state = str(error)
        if state != self.components[component]:
            report = log.info if state == OK else log.warning
            report("component changed", component=component, state=state)
        self.components[component] = state

    async def _ask_postgres(self) -> None:
        async with self._store.connection() as connection:
            missing = await missing_migrations(connection, self._migrations)
            if missing:
                raise StoreUnavailableError(f"the database lacks migration {missing[0]}: run `governance migrate`")
            await self._check_encryption_key(connection)

    async def _check_encryption_key(self, connection: Connection) -> None:
        sample = await list_some_sealed_virtual_keys(connection)
        if sample and not any(self._opens(virtual_key) for virtual_key in sample):
            raise StoreUnavailableError(
                "GOVERNANCE_ENCRYPTION_KEY is not the key the stored virtual keys were sealed with"
            )

    def _opens(self, virtual_key: SealedVirtualKey) -> bool:
        try:
            self._sealer.open(virtual_key.value_sealed, belongs_to=sealed_virtual_key(virtual_key.id))
        except NotOpenedError:
            return False
        return True
