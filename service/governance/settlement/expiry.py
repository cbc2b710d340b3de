"""Holds that expired: a gateway that died in the middle of a call was probably billed for it, so what the call held is
booked. A setting has it given back instead.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Literal

import msgspec
import structlog

from service.counters.batching import ScriptBatcher
from service.counters.client import CountersUnavailableError
from service.counters.holds import (
    Hold,
    HoldsOfTenant,
    LiveUse,
    Settled,
    list_expired_holds,
    list_holding,
    note_holding,
    read_holds,
    settle,
)
from service.domain.meters import Tenant
from service.domain.usage import MeterCharge, UsageEvent
from service.domain.windows import from_us, to_us
from service.governance.admission.doubts import Doubts
from service.governance.background import repeat
from service.governance.holds import QUIET_US, HoldDetails, KnownHolds, NotedTenants, decode_details
from service.governance.measures import EngineMeasures
from service.governance.policies.cache import GLOBAL_TENANT, Policies
from service.governance.settlement.charges import charges_not_held, is_of_call, ledger_charges, live_uses
from service.governance.settlement.group_commit import EXPIRED, GroupCommit
from service.governance.settlement.waiting import Booking
from service.store.postgres import StoreUnavailableError

ExpiredHolds = Literal["book", "release"]

_INTERVAL_SECONDS = 1.0
_HOLDS_PER_LOOK = 500
_TENANTS_PER_PAGE = 500
log = structlog.get_logger()


class ExpiryParts(msgspec.Struct, frozen=True, kw_only=True):
    """What ending holds works with."""

    batcher: ScriptBatcher
    group_commit: GroupCommit
    known_holds: KnownHolds
    noted: NotedTenants
    policies: Policies
    doubts: Doubts


class Expiry:
    """Looks at every tenant that has holds, once a second."""

    def __init__(
        self,
        parts: ExpiryParts,
        *,
        expired_holds: ExpiredHolds,
        measures: EngineMeasures,
        clock: Callable[[], datetime],
    ) -> None:
        self._parts = parts
        self._batcher = parts.batcher
        self._expired_holds = expired_holds
        self._measures = measures
        self._clock = clock

    async def watch(self, stop: asyncio.Event) -> None:
        """Look for expired holds until `stop`; a store that does not answer is waited for."""
        await repeat(self._look_if_stores_answer, every_seconds=_INTERVAL_SECONDS, stop=stop)

    async def look(self) -> None:
        """Once, at every tenant. Raises StoreUnavailableError, CountersUnavailableError."""
        now_us = to_us(self._clock())
        await self._parts.doubts.give_back(now_us=now_us)
        await self._note_own(now_us)
        start, holds_open, done, listed = 0, 0, list[str](), set[str]()
        failures: list[BaseException] = []
        while page := await list_holding(
            self._batcher, start=start, most=_TENANTS_PER_PAGE, done=done, done_before_us=now_us - QUIET_US
        ):
            found = await asyncio.gather(*map(self.end_expired, page), return_exceptions=True)
            # Of one that fails the others must not hear.
            failures += [each for each in found if isinstance(each, BaseException)][:1]
            looked_at = {tenant: of for tenant, of in zip(page, found, strict=True) if isinstance(of, HoldsOfTenant)}
            done = [tenant_id for tenant_id, of in looked_at.items() if not of.open and not of.ended]
            holds_open += sum(of.open for of in looked_at.values())
            start += len(page)
            listed.update(page)
        if done:
            await list_holding(self._batcher, start=start, most=1, done=done, done_before_us=now_us - QUIET_US)
        await self._note(self._parts.noted.lost(listed, now_us), now_us)
        # Nobody notes a call that was not admitted, and holds there alone: it is always looked at.
        await self.end_expired(GLOBAL_TENANT)
        self._measures.holds_open = holds_open
        if failures:
            raise failures[0]

    async def _note_own(self, now_us: int) -> None:
        """Redis may have lost the list with everything else: what this worker admitted it knows by itself."""
        expired = self._parts.known_holds.expired(now_us)
        await self._note(set(expired.values()), now_us)
        for request_id in expired:
            self._parts.known_holds.end(request_id)

    async def _note(self, tenant_ids: Iterable[str], now_us: int) -> None:
        await asyncio.gather(*(note_holding(self._batcher, tenant_id, now_us=now_us) for tenant_id in tenant_ids))

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
        booked = 0
        if self._expired_holds == "book":
            booked = await self._book([(hold, of_all.get(hold.request_id)) for hold in expired])
        # Booked or not: of an id that was reported meanwhile the hold ends all the same.
        ids = [hold.request_id for hold in expired]
        ended = await settle(self._batcher, Tenant(tenant_id, 0), Settled(ended=ids), now_us=now_us)
        # Whoever else looks at the same time ends none of them.
        self._measures.holds_expired += max(booked, ended)
        if of_all:
            await settle(self._batcher, Tenant(GLOBAL_TENANT, 0), Settled(ended=list(of_all)), now_us=now_us)
        for request_id in ids:
            self._parts.known_holds.end(request_id)

    async def _book(self, expired: Sequence[tuple[Hold, Hold | None]]) -> int:
        """How many were not booked, nor reported, before."""
        bookings: list[Booking] = []
        everywhere = await self._parts.policies.whole()
        for hold, whole in expired:
            details = decode_details(hold.details)
            if whole is not None and is_of_call(details, whole):
                charges = _charges(hold, whole)
            else:
                charges = _charges(hold) + charges_not_held(details, everywhere)
            uses: tuple[tuple[Tenant, LiveUse], ...] = ()
            if any(charge.live_only for charge in charges):
                # Redis keeps them where the tenant's counters are laid out now.
                policy = await self._parts.policies.find_by_id(details.virtual_key_id)
                uses = tuple(live_uses(charges, hold.request_id, details.tenant_id, policy, everywhere))
            tenants = (details.tenant_id,) if whole is None else (details.tenant_id, GLOBAL_TENANT)
            bookings.append(Booking(event=_event(hold, details, charges), held_in=tenants, uses=uses))
        return (await self._parts.group_commit.book(bookings)).count("recorded")

    async def _end_global(self, expired: Sequence[Hold]) -> None:
        """They end with the holds of their tenants; what then is left without one ends alone."""
        of_tenant: defaultdict[str, list[str]] = defaultdict(list)
        for hold in expired:
            of_tenant[decode_details(hold.details).tenant_id].append(hold.request_id)
        await asyncio.gather(*map(self.end_expired, of_tenant))
        held = await asyncio.gather(
            *(read_holds(self._batcher, tenant_id, ids) for tenant_id, ids in of_tenant.items())
        )
        with_one = {hold.request_id for holds in held for hold in holds}
        alone = [hold.request_id for hold in expired if hold.request_id not in with_one]
        if alone:
            now_us = to_us(self._clock())
            await settle(self._batcher, Tenant(GLOBAL_TENANT, 0), Settled(ended=alone), now_us=now_us)

    async def _look_if_stores_answer(self) -> None:
        try:
            await self.look()
        except (StoreUnavailableError, CountersUnavailableError):
            log.debug("expired holds stay: a store does not answer")


def _charges(*parts: Hold) -> list[MeterCharge]:
    """What it held, on every meter. Those of the ledger at nothing too: a late report may have more to add there."""
    return [
        MeterCharge(meter.meter_id, meter.epoch, meter.window_start_us, int(meter.amount), meter.kind == "r")
        for part in parts
        for meter in part.meters
        if meter.kind == "l" or (meter.kind == "r" and meter.amount != "0")
    ]


def _event(hold: Hold, details: HoldDetails, charges: Sequence[MeterCharge]) -> UsageEvent:
    return UsageEvent(
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
        charges=ledger_charges(charges),
    )
