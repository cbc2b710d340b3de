"""Holds that expired: a gateway that died in the middle of a call was probably billed for it, so what the call held is
booked. A setting has it given back instead.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

import structlog

from service.counters.batching import ScriptBatcher
from service.counters.client import CountersUnavailableError
from service.counters.holds import (
    Hold,
    HoldsOfTenant,
    Settled,
    list_expired_holds,
    list_holding,
    note_holding,
    read_holds,
    settle,
)
from service.domain.charging import MeterCharge
from service.domain.meters import Tenant
from service.domain.usage import Charge, UsageEvent
from service.domain.windows import from_us, to_us
from service.governance.background import repeat
from service.governance.holds import KnownHolds, decode_details
from service.governance.measures import EngineMeasures
from service.governance.policies.cache import GLOBAL_TENANT
from service.governance.settlement.group_commit import EXPIRED, Booking, GroupCommit
from service.store.postgres import StoreUnavailableError

ExpiredHolds = Literal["book", "release"]

_INTERVAL_SECONDS = 1.0
_HOLDS_PER_LOOK = 500
_TENANTS_PER_PAGE = 500
# Longer than a worker waits before it notes a tenant again.
_QUIET_US = 120_000_000
log = structlog.get_logger()


class Expiry:
    """Looks at every tenant that has holds, once a second."""

    def __init__(
        self,
        batcher: ScriptBatcher,
        group_commit: GroupCommit,
        holds: KnownHolds,
        *,
        expired_holds: ExpiredHolds,
        measures: EngineMeasures,
        clock: Callable[[], datetime],
    ) -> None:
        self._batcher = batcher
        self._group_commit = group_commit
        self._holds = holds
        self._expired_holds = expired_holds
        self._clock = clock
        self._measures = measures

    async def watch(self, stop: asyncio.Event) -> None:
        """Look for expired holds until `stop`; a store that does not answer is waited for."""
        await repeat(self._look_if_stores_answer, every_seconds=_INTERVAL_SECONDS, stop=stop)

    async def look(self) -> None:
        """Once, at every tenant. Raises StoreUnavailableError, CountersUnavailableError."""
        now_us = to_us(self._clock())
        # Redis may have lost the list with everything else: what this worker admitted it knows by itself.
        for tenant_id in self._holds.tenants():
            await note_holding(self._batcher, tenant_id, now_us=now_us)
        start, holds_open, done = 0, 0, list[str]()
        while page := await list_holding(
            self._batcher, start=start, most=_TENANTS_PER_PAGE, done=done, done_before_us=now_us - _QUIET_US
        ):
            found = await asyncio.gather(*(self.end_expired(tenant_id) for tenant_id in page))
            done = [tenant_id for tenant_id, of in zip(page, found, strict=True) if not of.open and not of.ended]
            holds_open += sum(of.open for of in found)
            start += len(page)
        if done:
            await list_holding(self._batcher, start=start, most=1, done=done, done_before_us=now_us - _QUIET_US)
        self._measures.holds_open = holds_open

    async def end_expired(self, tenant_id: str) -> HoldsOfTenant:
        """End the tenant's expired holds; answers what it had before.

        Raises StoreUnavailableError, CountersUnavailableError.
        """
        now_us = to_us(self._clock())
        holds = await list_expired_holds(self._batcher, tenant_id, now_us=now_us, most=_HOLDS_PER_LOOK)
        if tenant_id == GLOBAL_TENANT:
            await self._end_global(holds.expired)
        elif holds.expired:
            await self._end(tenant_id, holds.expired, now_us)
        return holds

    async def _end(self, tenant_id: str, expired: Sequence[Hold], now_us: int) -> None:
        with_global = [hold.request_id for hold in expired if decode_details(hold.details).has_global]
        whole = await read_holds(self._batcher, GLOBAL_TENANT, with_global) if with_global else []
        of_all = {hold.request_id: hold for hold in whole}
        if self._expired_holds == "book":
            await self._group_commit.book([_booking(hold, of_all.get(hold.request_id)) for hold in expired])
        self._measures.holds_expired += len(expired)
        # Booked or not: of an id that was reported meanwhile the hold ends all the same.
        ids = [hold.request_id for hold in expired]
        await settle(self._batcher, Tenant(tenant_id, 0), Settled(ended=ids), now_us=now_us)
        if of_all:
            await settle(self._batcher, Tenant(GLOBAL_TENANT, 0), Settled(ended=list(of_all)), now_us=now_us)
        for request_id in ids:
            self._holds.end(request_id)

    async def _end_global(self, expired: Sequence[Hold]) -> None:
        """They end with the hold of their tenant, which is about to be found; without one they end alone."""
        alone: list[str] = []
        for hold in expired:
            tenant_id = decode_details(hold.details).tenant_id
            if not await read_holds(self._batcher, tenant_id, [hold.request_id]):
                alone.append(hold.request_id)
        if alone:
            now_us = to_us(self._clock())
            await settle(self._batcher, Tenant(GLOBAL_TENANT, 0), Settled(ended=alone), now_us=now_us)

    async def _look_if_stores_answer(self) -> None:
        try:
            await self.look()
        except (StoreUnavailableError, CountersUnavailableError):
            log.debug("expired holds stay: a store does not answer")


def _booking(hold: Hold, whole: Hold | None) -> Booking:
    """What it held, on every meter but those kept in Redis only: their windows are over soon."""
    details = decode_details(hold.details)
    parts = (hold,) if whole is None else (hold, whole)
    charges = [
        MeterCharge(meter.meter_id, meter.epoch, meter.window_start_us, int(meter.amount), meter.kind == "r")
        for part in parts
        for meter in part.meters
        if meter.kind != "p" and meter.amount != "0"
    ]
    return Booking(
        event=UsageEvent(
            request_id=hold.request_id,
            fingerprint=EXPIRED,
            tenant_id=details.tenant_id,
            virtual_key_id=details.virtual_key_id,
            team_id=details.team_id,
            customer_id=details.customer_id,
            provider=details.provider or "",
            model=details.model or "",
            status="expired",
            input_tokens=details.tokens or 0,
            cost_nanousd=details.cost_nanousd or 0,
            priced=details.cost_nanousd is not None,
            occurred_at=from_us(details.admitted_us),
            charges=tuple(
                Charge(each.meter_id, each.epoch, from_us(each.window_start_us), each.amount)
                for each in charges
                if not each.live_only
            ),
        ),
        held_in=tuple(dict.fromkeys((details.tenant_id, *((GLOBAL_TENANT,) if whole else ())))),
    )
