"""Reading trees and booking usage for tests, without HTTP."""

import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

from redis.asyncio import Redis

from service.counters.client import CounterClient
from service.counters.meters import merge_windows
from service.domain.meters import Meter
from service.domain.sealing import Sealer
from service.governance.tree.cache import TreeCache
from service.governance.tree.read import Tree, TreeReader
from service.store.customers import PageQuery
from service.store.ledger import record_usage
from service.store.postgres import Store
from tests.factories import usage_event

WHOLE = PageQuery()
TREE_CACHE_BYTES = 64 * 1024 * 1024


class Replica:
    """One worker: a reader with a cache of its own, and the reports of usage it is sent."""

    def __init__(
        self,
        store: Store,
        counters: CounterClient,
        *,
        sealer: Sealer,
        clock: Callable[[], datetime],
        cache_bytes: int = TREE_CACHE_BYTES,
    ) -> None:
        self.store = store
        self.counters = counters
        self.sealer = sealer
        self.clock = clock
        self.cache = TreeCache(cache_bytes)
        self.reader = TreeReader(store, counters, sealer=sealer, cache=self.cache, clock=clock)
        self._numbers = count(1)

    async def book(self, *amounts: tuple[str, Meter, int], merge: bool = True, at: datetime | None = None) -> None:
        """One report of usage: committed, and merged unless the worker is to die in between."""
        event = usage_event(f"request-{next(self._numbers)}", *amounts, at=at or self.clock())
        async with self.store.connection() as connection:
            recorded = await record_usage(connection, [event])
        if merge:
            await merge_windows(self.counters, recorded.windows)

    async def read(self, query: PageQuery = WHOLE) -> list[Any]:
        """The customers of a page, decoded; what comes from live counters only."""
        tree = await self.reader.page(query)
        assert tree.usage_source == "live"
        return decoded(tree)

    async def customer(self, customer_id: str) -> Any:
        (customer,) = decoded(await self.reader.customer(customer_id))
        return customer


async def only_meters_key(redis: Redis) -> str:
    """Where the counters of the one tenant are."""
    (key,) = await redis.keys("gov:*:meters*")
    assert isinstance(key, bytes)
    return key.decode()


def decoded(tree: Tree) -> list[Any]:
    """Money is Decimal: a test sees the very digits."""
    return [json.loads(b"".join(pieces), parse_float=Decimal) for pieces in tree.customers]
