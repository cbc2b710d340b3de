"""The engine of one worker on the test's stores and clock, without HTTP and with nothing in the background."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from redis.asyncio import Redis

from service.counters.client import CounterClient
from service.domain.inputs.calls import AuthorizeInput, UsageInput
from service.domain.sealing import Sealer
from service.governance.admission.verdict import verdict_json
from service.governance.engine import build_engine
from service.governance.measures import EngineMeasures
from service.governance.settlement.settle import Report
from service.settings import Settings
from service.store.postgres import Connection, Store
from tests.gateway import VALUE

NANO = 10**9


class Worker:
    """Calls are of the virtual key of `VALUE` unless they name another."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        counters: CounterClient,
        *,
        sealer: Sealer,
        clock: Callable[[], datetime],
    ) -> None:
        self.measures = EngineMeasures()
        self.engine = build_engine(settings, store, counters, sealer=sealer, measures=self.measures, clock=clock)

    async def authorize(self, **call: Any) -> Any:
        """The answer, decoded."""
        verdict = await self.engine.admission.authorize(AuthorizeInput(**({"virtual_key": VALUE} | call)))
        return msgspec.json.decode(verdict_json(verdict))

    async def report(self, request_id: str, **used: Any) -> Report:
        (report,) = await self.report_all({"request_id": request_id} | used)
        return report

    async def report_all(self, *events: Any) -> list[Report]:
        inputs = [UsageInput(**({"virtual_key": VALUE} | event)) for event in events]
        return await self.engine.settlement.settle(inputs)

    async def release(self, request_id: str) -> bool:
        return await self.engine.settlement.release(request_id)

    async def expire(self) -> None:
        await self.engine.expiry.look()

    def doubt(self) -> None:
        """As if it had been told of every change."""
        self.engine.policies.doubt_all()


async def windows_of(connection: Connection, meter_id: str) -> list[tuple[int, datetime, int]]:
    """Epoch, start and total of each window in the ledger."""
    rows = await connection.fetch(
        "SELECT epoch, window_start, used FROM meter_windows WHERE meter_id = $1 ORDER BY 1, 2", meter_id
    )
    return [(row["epoch"], row["window_start"], row["used"]) for row in rows]


async def held_in_redis(redis: Redis) -> dict[str, int]:
    """What is held of each meter and window, of all tenants."""
    held: dict[str, int] = {}
    for key in await redis.keys("gov:*:held"):
        fields: dict[Any, Any] = await redis.hgetall(key)
        held |= {field.decode(): int(amount) for field, amount in fields.items()}
    return held
