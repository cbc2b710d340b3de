"""Servers of these tests' own, to be killed and frozen, and usage booked in them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis

from service.counters.client import open_counters
from service.counters.meters import merge_windows
from service.domain.sealing import Sealer, parse_encryption_key
from service.embedded.servers import EmbeddedPostgres, EmbeddedValkey
from service.settings import Settings, load_settings
from service.store.ledger import record_usage
from service.store.migrations import migrate, read_migrations
from service.store.postgres import Connection, connect
from tests.conftest import ENCRYPTION_KEY, TestApi
from tests.factories import Factory, meter_of_budget, usage_event

# Processes are killed here, not the machine: what was written is kept without waiting for the disk, but it has to be
# written, so synchronous_commit stays on.
_POSTGRES_SETTINGS = {"fsync": "off", "full_page_writes": "off"}
NANOUSD = 1_000_000_000
_request_ids = (f"request {number}" for number in count())


class Stores:
    """A Postgres with the service's schema, and a Valkey."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = EmbeddedPostgres(folder, settings=_POSTGRES_SETTINGS)
        self.valkey = EmbeddedValkey(folder)
        self.append_only_files = folder / "valkey" / "appendonlydir"
        self.settings: Settings = load_settings(
            {},
            database_url=self.postgres.url,
            redis_url=self.valkey.url,
            encryption_key=ENCRYPTION_KEY,
            auth="off",
        )

    async def prepare(self) -> None:
        await self.postgres.start()
        await self.valkey.start()
        async with self.connection() as connection:
            await migrate(connection, read_migrations())

    async def stop(self) -> None:
        await self.valkey.stop()
        await self.postgres.stop()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Beside the service's."""
        connection = await connect(self.postgres.url)
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[Redis]:
        """Beside the service's."""
        async with Redis.from_url(self.valkey.url) as redis:
            yield redis


class Budget(msgspec.Struct, frozen=True):
    """A customer with one budget of a year."""

    stores: Stores
    customer_id: str
    id: str

    async def book(self, usd: int, *, merge: bool = True) -> None:
        """One request's usage; without `merge` the worker died between the commit and Redis."""
        async with self.stores.connection() as connection:
            tenant_id, meter = await meter_of_budget(connection, self.id)
            event = usage_event(next(_request_ids), (tenant_id, meter, usd * NANOUSD), at=datetime.now(UTC))
            windows = (await record_usage(connection, [event])).windows
        if merge:
            counters = open_counters(self.stores.settings)
            await merge_windows(counters, windows)
            await counters.close()


class Read(msgspec.Struct, frozen=True):
    """What a client sees of a budget: the usage, and where it comes from."""

    used_usd: Decimal
    source: str


async def make_budget(stores: Stores) -> Budget:
    async with stores.connection() as connection:
        make = Factory(connection, Sealer(parse_encryption_key(ENCRYPTION_KEY)))
        customer_id = f"customer {next(_request_ids)}"
        await make.customer(id=customer_id, name=customer_id)
        budget_id = await make.budget(id=f"budget of {customer_id}", customer_id=customer_id, reset_duration="1Y")
    return Budget(stores, customer_id, budget_id)


async def read(api: TestApi, budget: Budget) -> Read:
    """The budget in the whole tree; raises AssertionError when the answer is not 200."""
    async with api.get("/api/governance/customers") as response:
        assert response.status == 200, await response.text()
        source = response.headers["X-Governance-Usage-Source"]
        body: Any = await response.json(loads=msgspec.json.Decoder(float_hook=Decimal).decode)
    customer = next(customer for customer in body["customers"] if customer["id"] == budget.customer_id)
    return Read(Decimal(customer["budget"]["current_usage"]), source)
