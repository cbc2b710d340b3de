"""Read single entities and pages of them: one snapshot of the configuration, and the usage of this moment."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeAlias, TypeVar

import msgspec

from service.counters.client import CounterClient, CountersUnavailableError
from service.domain.meters import Meter, Tenant
from service.domain.sealing import Sealer
from service.governance.configuration import etag_of
from service.governance.tree.shown import Show, Shown
from service.governance.tree.template import EpochBehindError, fill
from service.governance.tree.usage import Usage, UsageSource
from service.store.postgres import Connection, Store
from service.store.trees import load_tenants

Q = TypeVar("Q")
T = TypeVar("T")
Find: TypeAlias = Callable[[Connection, Q], Awaitable[T]]

# A meter reset between our two round trips is read again with its new epoch.
_MAX_ATTEMPTS = 3


class Entities(msgspec.Struct, frozen=True):
    """The JSON of each entity found, in the order asked for, and what it was made of."""

    bodies: list[bytes]
    shown: list[Shown]
    usage_source: UsageSource

    def etag(self, number: int) -> str:
        """The entity tag of one's configuration: made when it is asked for, since lists have none."""
        one = self.shown[number]
        return etag_of(one.itself or one.template)


class EntityReader:
    """Nothing is kept between reads."""

    def __init__(self, store: Store, counters: CounterClient, *, sealer: Sealer, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._usage = Usage(store, counters)
        self._sealer = sealer
        self._clock = clock

    def now(self) -> datetime:
        """By the clock usage is read at."""
        return self._clock()

    async def read(self, show: Show, ids: Sequence[str], *, masked: bool) -> Entities:
        """Those of `ids` that there are. Raises StoreUnavailableError."""
        for _ in range(_MAX_ATTEMPTS):
            shown, tenants = await self._configuration(show, ids, masked=masked)
            now = self._clock()
            meters: defaultdict[Tenant, list[Meter]] = defaultdict(list)
            for one in shown:
                meters[tenants[one.tenant_id]] += one.template.meters
            try:
                states = await self._usage.live(meters, now=now)
                return Entities([fill(one.template, states, now=now).body for one in shown], shown, "live")
            except EpochBehindError:
                continue
            except CountersUnavailableError:
                break
        now = self._clock()
        states = await self._usage.in_ledger([meter for one in shown for meter in one.template.meters], now=now)
        return Entities([fill(one.template, states, now=now).body for one in shown], shown, "ledger")

    async def list_ids(self, find: Find[Q, T], query: Q) -> T:
        """What `find` answers: the ids of a page. Raises StoreUnavailableError."""
        async with self._store.connection() as connection:
            return await find(connection, query)

    async def _configuration(
        self, show: Show, ids: Sequence[str], *, masked: bool
    ) -> tuple[list[Shown], dict[str, Tenant]]:
        async with self._store.snapshot() as snapshot:
            shown = await show(snapshot, ids, sealer=None if masked else self._sealer, now=self._clock())
            return shown, await load_tenants(snapshot, list({one.tenant_id for one in shown}))
