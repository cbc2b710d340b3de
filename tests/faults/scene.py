"""A service on stores of its own, and one customer whose budget is used: what the fault tests look at."""

import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from service.counters.client import open_counters
from service.counters.meters import merge_windows
from service.domain.sealing import Sealer, parse_encryption_key
from service.embedded.servers import EmbeddedPostgres, EmbeddedValkey
from service.settings import Settings
from service.store.ledger import record_usage
from service.store.postgres import connect
from tests.conftest import ENCRYPTION_KEY, TestApi
from tests.factories import Factory, meter_of_budget, usage_event
from tests.waiting import until

_numbers = count(1)


class OwnStores(msgspec.Struct, frozen=True):
    folder: Path
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    settings: Settings


class Reading(msgspec.Struct, frozen=True):
    """One read of the customer; `dollars` is the usage shown, None when it was refused."""

    status: int
    source: str
    dollars: int | None
    seconds: float
    retry_after: str


class Scene:
    """`dollars` is what was acknowledged: what every read has to show."""

    def __init__(self, stores: OwnStores, api: TestApi) -> None:
        self.folder = stores.folder
        self.postgres = stores.postgres
        self.valkey = stores.valkey
        self._settings = stores.settings
        self.api = api
        self.customer_id = f"customer-{next(_numbers)}"
        self.dollars = 0

    async def set_up(self) -> None:
        connection = await connect(self._settings.database_url)
        make = Factory(connection, Sealer(parse_encryption_key(ENCRYPTION_KEY)))
        await make.customer(id=self.customer_id, name=self.customer_id)
        await make.budget(id=f"of {self.customer_id}", customer_id=self.customer_id, reset_duration="1Y")
        await connection.close()
        await self.use(1)
        await self.wait_for(source="live")

    async def use(self, dollars: int, *, merge: bool = True) -> None:
        """Commit a report of usage; `merge` False: Redis never hears of it."""
        connection = await connect(self._settings.database_url)
        budget = await meter_of_budget(connection, f"of {self.customer_id}")
        event = usage_event(f"fault-{next(_numbers)}", (*budget, dollars * 10**9), at=datetime.now(UTC))
        recorded = await record_usage(connection, [event])
        await connection.close()
        self.dollars += dollars
        if merge:
            counters = open_counters(self._settings)
            await merge_windows(counters, recorded.windows)
            await counters.close()

    async def read(self) -> Reading:
        begun = time.monotonic()
        response = await self.api.get(f"/api/governance/customers/{self.customer_id}")
        body: Any = await response.json()
        seconds = time.monotonic() - begun
        headers = response.headers
        dollars = None
        if response.status == 200:
            dollars = int(body["customer"]["budget"]["current_usage"])
        else:
            assert set(body) == {"is_bifrost_error", "status_code", "error", "extra_fields"}
        source = headers.get("X-Governance-Usage-Source", "")
        return Reading(response.status, source, dollars, seconds, headers.get("Retry-After", ""))

    async def wait_for(self, *, source: str, seconds: float = 10) -> None:
        """Until a read shows what was acknowledged, from `source`."""

        async def shown() -> bool:
            reading = await self.read()
            return (reading.source, reading.dollars) == (source, self.dollars)

        await until(shown, seconds=seconds)

    async def health_seconds(self) -> float:
        begun = time.monotonic()
        assert (await self.api.get("/health")).status == 200
        return time.monotonic() - begun
