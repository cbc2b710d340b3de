"""Usage: whose call it was, what it held, what it cost, and which meters it is charged to; then it is booked."""

import hashlib
from asyncio import gather
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from service.counters.batching import ScriptBatcher
from service.counters.client import CountersUnavailableError
from service.counters.holds import Settled, settle
from service.domain.charging import Amounts, charges_at, counted_requests
from service.domain.inputs.calls import UsageInput, check_cost
from service.domain.meters import Tenant
from service.domain.money import usd_to_nanousd
from service.domain.policy import GlobalPolicy, Policy
from service.domain.pricing import PricedCall, Tokens
from service.domain.refusals import invalid
from service.domain.usage import UsageEvent
from service.domain.windows import to_us
from service.governance.admission.without_redis import LocalDecisions
from service.governance.holds import HoldDetails, KnownHolds
from service.governance.measures import EngineMeasures
from service.governance.policies.cache import GLOBAL_TENANT, Policies
from service.governance.policies.prices import PriceBook
from service.governance.settlement.charges import charges_not_held, held_charges, ledger_charges, live_uses, rerouted
from service.governance.settlement.group_commit import BookedAs, Booking, GroupCommit
from service.governance.settlement.held import Held, HoldFinder
from service.governance.settlement.late import Late
from service.store.postgres import StoreUnavailableError

_AHEAD = timedelta(minutes=5)

ReportStatus = Literal["recorded", "duplicate", "conflict", "unknown_key"]


class Report(msgspec.Struct, frozen=True, gc=False):
    """What became of one report. `late`: its hold had expired; what that had booked was made up for."""

    request_id: str
    status: ReportStatus
    cost_nanousd: int = 0
    priced: bool = True
    late: bool = False


class SettlementParts(msgspec.Struct, frozen=True, kw_only=True):
    """What settling works with."""

    policies: Policies
    prices: PriceBook
    known_holds: KnownHolds
    finder: HoldFinder
    group_commit: GroupCommit
    late: Late
    batcher: ScriptBatcher
    local: LocalDecisions


class Settlement:
    """Books usage and releases calls. Request ids are known for `oldest`: what is older could be booked twice."""

    def __init__(
        self, parts: SettlementParts, *, measures: EngineMeasures, oldest: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._parts = parts
        self._measures = measures
        self._oldest = oldest
        self._clock = clock

    async def settle(self, events: Sequence[UsageInput], *, in_array: bool = False) -> list[Report]:
        """Durable when it returns, each by itself, in their order. `in_array` is how they were sent.

        Raises RefusedError for a time that cannot be, StoreUnavailableError: the same may be sent again then.
        """
        now = self._clock()
        for number, event in enumerate(events):
            self._check_time(event, now, f"$[{number}]" if in_array else "$")
        await self._parts.prices.refresh()
        whole = await self._parts.policies.whole()
        policies = await gather(*map(self._policy_of, events))
        held = await self._find_holds([event.request_id for event in events])
        bookings: list[Booking | ReportStatus] = []
        for event, policy in zip(events, policies, strict=True):
            hold = held.get(event.request_id)
            if policy is None and hold is None:
                bookings.append("unknown_key")
            elif policy is not None and hold is not None and hold.details.virtual_key_id != policy.virtual_key_id:
                # Another virtual key's call holds under this id.
                bookings.append("conflict")
            else:
                booking = self._booking(event, policy, whole, hold, now)
                check_cost(booking.event.cost_nanousd, f"$[{len(bookings)}]" if len(events) > 1 else "$")
                bookings.append(booking)
        booked = await self._parts.group_commit.book([each for each in bookings if isinstance(each, Booking)])
        return await self._reports(events, bookings, booked)

    async def release(self, request_id: str) -> bool:
        """Whether the call held something. Raises StoreUnavailableError when Redis, which would know, is away."""
        self._parts.local.end(request_id)
        try:
            held = (await self._parts.finder.find([request_id])).get(request_id)
            if held is None:
                return False
            now_us = to_us(self._clock())
            for tenant_id, _ in held.parts:
                await settle(self._parts.batcher, Tenant(tenant_id, 0), Settled(ended=[request_id]), now_us=now_us)
        except CountersUnavailableError as error:
            raise StoreUnavailableError("the counters do not answer") from error
        self._parts.known_holds.end(request_id)
        return True

    def _check_time(self, event: UsageInput, now: datetime, path: str) -> None:
        if event.occurred_at is None:
            return
        if event.occurred_at > now + _AHEAD:
            raise invalid(f"{path}.occurred_at", "is in the future")
        if event.occurred_at < now - self._oldest:
            raise invalid(f"{path}.occurred_at", f"is more than {self._oldest.days} days ago")

    async def _policy_of(self, event: UsageInput) -> Policy | None:
        if event.virtual_key is not None:
            return self._parts.policies.known(event.virtual_key) or await self._parts.policies.find_user(
                event.virtual_key
            )
        return await self._parts.policies.find_by_id(event.virtual_key_id or "")

    async def _find_holds(self, request_ids: Sequence[str]) -> dict[str, Held]:
        """Without Redis a call is booked as one that held nothing; its hold expires, and finds it in the ledger."""
        try:
            return await self._parts.finder.find(request_ids)
        except CountersUnavailableError:
            return {}

    def _booking(
        self, event: UsageInput, policy: Policy | None, whole: GlobalPolicy, held: Held | None, now: datetime
    ) -> Booking:
        details = held.details if held else None
        provider = event.provider or (details.provider if details else None)
        model = event.model or (details.model if details else None)
        cost_nanousd, priced = self._cost(event, provider, model, details, policy)
        input_tokens, output_tokens = _tokens(event, details)
        amounts = Amounts(cost_nanousd, input_tokens + output_tokens, counted_requests(event.status))
        at = event.occurred_at or now
        if details is not None and held is not None:
            charges = held_charges(held, amounts)
            if GLOBAL_TENANT not in dict(held.parts):
                charges += charges_not_held(details, whole, amounts)
            if policy is not None and (provider, model) != (details.provider, details.model):
                charges = rerouted(charges, policy, whole, details, amounts, (provider, model))
        elif policy is not None:
            limits = whole.path(provider, model) + policy.path(provider, model)
            charges = charges_at(limits, amounts, to_us(at))
        else:
            charges = []
        owner = details or policy
        tenant_id = details.tenant_id if details else policy.tenant.id if policy else ""
        return Booking(
            event=UsageEvent(
                request_id=event.request_id,
                fingerprint=_fingerprint(event, policy, details),
                tenant_id=tenant_id,
                virtual_key_id=owner.virtual_key_id if owner else "",
                team_id=owner.team_id if owner else None,
                customer_id=owner.customer_id if owner else None,
                provider=provider or "",
                model=model or "",
                status=event.status,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cached_input_tokens=event.cached_input_tokens or 0,
                cost_nanousd=cost_nanousd,
                priced=priced,
                occurred_at=at,
                metadata=event.metadata,
                charges=ledger_charges(charges),
            ),
            held_in=tuple(tenant_id for tenant_id, _ in held.parts) if held else (),
            uses=tuple(live_uses(charges, event.request_id if held else "", tenant_id, policy, whole)),
        )

    def _cost(
        self,
        event: UsageInput,
        provider: str | None,
        model: str | None,
        details: HoldDetails | None,
        policy: Policy | None,
    ) -> tuple[int, bool]:
        """In nano-dollars, and whether that is a price: as reported, by the price table, as it was held, or nothing."""
        if event.cost is not None:
            return usd_to_nanousd(event.cost), True
        held = details.cost_nanousd if details else None
        if event.has_figures and model is not None:
            virtual_key_id = policy.virtual_key_id if policy else details.virtual_key_id if details else None
            call = PricedCall(model=model, provider_id=provider, virtual_key_id=virtual_key_id)
            tokens = Tokens(
                input_tokens=event.input_tokens or 0,
                output_tokens=event.output_tokens or 0,
                cached_input_tokens=event.cached_input_tokens or 0,
            )
            cost = self._parts.prices.cost_nanousd(call, tokens)
            if cost is not None:
                return cost, True
        if not event.has_figures and event.status != "success":
            return 0, True
        return held or 0, False

    async def _reports(
        self, events: Sequence[UsageInput], bookings: Sequence[Booking | ReportStatus], booked: Sequence[BookedAs]
    ) -> list[Report]:
        answers = iter(booked)
        reports: list[Report] = []
        for event, booking in zip(events, bookings, strict=True):
            self._parts.local.end(event.request_id)
            if not isinstance(booking, Booking):
                self._measures.usage_events[booking] += 1
                reports.append(Report(event.request_id, booking))
                continue
            answer = next(answers)
            if answer != "conflict":
                self._parts.known_holds.end(event.request_id)
            reports.append(await self._report(booking, answer))
        return reports

    async def _report(self, booking: Booking, booked_as: BookedAs) -> Report:
        event, late = booking.event, booked_as == "expired"
        status: ReportStatus
        if booked_as == "expired":
            status = await self._parts.late.make_up(event)
        else:
            status = booked_as
        self._measures.usage_events[status] += 1
        if status == "recorded" and not event.priced:
            self._measures.unpriced_events += 1
        return Report(event.request_id, status, event.cost_nanousd, event.priced, late)


def _tokens(event: UsageInput, details: HoldDetails | None) -> tuple[int, int]:
    """A success without figures is booked at what it held, never at zero."""
    if not event.has_figures and event.status == "success" and details is not None:
        return details.tokens or 0, 0
    return event.input_tokens or 0, event.output_tokens or 0


def _fingerprint(event: UsageInput, policy: Policy | None, details: HoldDetails | None) -> bytes:
    """Of what was reported; the key by its id, however it was named."""
    virtual_key_id = policy.virtual_key_id if policy else details.virtual_key_id if details else ""
    reported = (
        virtual_key_id,
        event.provider,
        event.model,
        event.input_tokens,
        event.output_tokens,
        event.cached_input_tokens,
        event.cost,
        event.status,
        event.occurred_at and to_us(event.occurred_at),
        event.metadata,
    )
    return hashlib.blake2b(msgspec.json.encode(reported, order="sorted"), digest_size=16).digest()
