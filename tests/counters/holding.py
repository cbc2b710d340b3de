"""Calls that ask the counters of one tenant for room."""

from typing import Any

import msgspec
from redis.asyncio import Redis

from service.counters.batching import ScriptBatcher
from service.counters.holds import (
    Admission,
    AskedHold,
    AskedMeters,
    Settled,
    asked_amount,
    asked_meter,
    authorize,
    packed_meters,
    settle,
)
from service.counters.keys import held_field
from service.domain.meters import MeterWindow, Tenant
from service.domain.windows import from_us
from tests.counters.windows import tenant

TAG = "gov:{customer:acme}"
METERS, HELD, HOLDS, EXPIRIES, ENDED = (
    f"{TAG}:meters:1",
    f"{TAG}:held",
    f"{TAG}:holds",
    f"{TAG}:expiries",
    f"{TAG}:ended",
)
NOW_US, WINDOW_US = 2_000_000_000_000_000, 1_999_999_000_000_000


class Asks(msgspec.Struct, frozen=True, kw_only=True):
    """What a call asks of one meter: kinds as authorize.lua has them, amount None for any room at all."""

    meter_id: str = "budget:b"
    kind: str = "l"
    limit: int = 100
    amount: int | None = 1
    epoch: int = 1
    window_us: int = WINDOW_US

    @property
    def field(self) -> str:
        return self.meter_id if self.kind in "pP" else held_field(self.meter_id, self.epoch, self.window_us)

    def packed(self) -> bytes:
        window = None if self.kind in "pP" else (self.epoch, self.window_us)
        return packed_meters(asked_meter(self.meter_id, self.kind, self.limit, window))


async def ask(
    batcher: ScriptBatcher, request_id: str, *asks: Asks, others: tuple[Asks, ...] = (), **fields: Any
) -> Admission:
    """One call's answer; `reserve`, `now_us`, `expires_us`, `fingerprint` and `details` may be named."""
    given: dict[str, Any] = {
        "fingerprint": "f",
        "details": "d",
        "now_us": NOW_US,
        "expires_us": NOW_US + 60_000_000,
        "reserve": True,
    } | fields
    every = (*asks, *others)
    amounts = [asked_amount(each.amount) for each in every]
    meters = AskedMeters([each.packed() for each in every], amounts, len(asks))
    return await authorize(batcher, tenant(), AskedHold(request_id=request_id, **given), meters)


async def end(batcher: ScriptBatcher, *request_ids: str, remember: bool = True, now_us: int = NOW_US) -> int:
    return await settle(batcher, tenant(), Settled(ended=request_ids, remember=remember), now_us=now_us)


def state(meter_id: str = "budget:b", *, used: int = 0, epoch: int = 1, window_us: int = WINDOW_US) -> MeterWindow:
    return MeterWindow(meter_id, Tenant(tenant().id, 1), epoch, from_us(window_us), used)


async def warm(batcher: ScriptBatcher, *states: MeterWindow) -> None:
    await settle(batcher, tenant(), Settled(windows=states or [state()]), now_us=NOW_US)


async def everything(redis: Redis) -> dict[str, Any]:
    """What Redis has of the tenant. Where calls hold is noted apart, in a cluster before it is known if they do."""
    keys: list[Any] = await redis.keys("gov:{*")
    return {key.decode(): await _content(redis, key) for key in sorted(keys)}


async def _content(redis: Redis, key: bytes) -> Any:
    kind: Any = await redis.type(key)
    if kind == b"hash":
        return await redis.hgetall(key)
    return await (redis.zrange(key, 0, -1, withscores=True) if kind == b"zset" else redis.get(key))
