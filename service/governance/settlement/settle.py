"""Usage: whose call it was and what it held; then it is booked."""

from asyncio import gather
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from service.counters.batching import ScriptBatcher
from service.counters.client import CountersUnavailableError
from service.counters.holds import Settled, settle
from service.domain.inputs.calls import UsageInput, check_cost
from service.domain.meters import Tenant
from service.domain.policy import Policy
from service.domain.refusals import invalid
from service.domain.windows import to_us
from service.governance.admission.without_redis import LocalDecisions
from service.governance.holds import KnownHolds
from service.governance.measures import EngineMeasures
from service.governance.policies.cache import Policies
from service.governance.policies.prices import PriceBook
from service.governance.settlement.booking import Context, booking_of
from service.governance.settlement.group_commit import GroupCommit
from service.governance.settlement.held import Held, HoldFinder
from service.governance.settlement.late import Late
from service.governance.settlement.waiting import BookedAs, Booking
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
        context = Context(self._parts.prices, await self._parts.policies.whole(), now)
        policies = await self._find_policies(events)
        held = await self._find_holds([event.request_id for event in events])
        bookings: list[Booking | ReportStatus] = []
        for event, policy in zip(events, policies, strict=True):
            booking = _booking_or_status(event, policy, held.get(event.request_id), context)
            if isinstance(booking, Booking):
                check_cost(booking.event.cost_nanousd, f"$[{len(bookings)}]" if in_array else "$")
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

    async def _find_policies(self, events: Sequence[UsageInput]) -> list[Policy | None]:
        """In their order. Postgres is asked only for those that are not at hand, for all of them together."""
        found = [self._known_policy(event) for event in events]
        missing = [number for number, policy in enumerate(found) if policy is None]
        if missing:
            loaded = await gather(*(self._load_policy(events[number]) for number in missing))
            for number, policy in zip(missing, loaded, strict=True):
                found[number] = policy
        return found

    def _known_policy(self, event: UsageInput) -> Policy | None:
        if event.virtual_key is not None:
            return self._parts.policies.known(event.virtual_key)
        return self._parts.policies.known_by_id(event.virtual_key_id or "")

    async def _load_policy(self, event: UsageInput) -> Policy | None:
        if event.virtual_key is not None:
            return await self._parts.policies.find_user(event.virtual_key)
        return await self._parts.policies.find_by_id(event.virtual_key_id or "")

    async def _find_holds(self, request_ids: Sequence[str]) -> dict[str, Held]:
        """Without Redis a call is booked as one that held nothing; its hold expires, and finds it in the ledger."""
        try:
            return await self._parts.finder.find(request_ids)
        except CountersUnavailableError:
            return {}

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
            status = await self._parts.late.make_up(booking.event) if answer == "expired" else answer
            reports.append(self._report(booking, status, late=answer == "expired"))
        return reports

    def _report(self, booking: Booking, status: ReportStatus, *, late: bool) -> Report:
        event = booking.event
        self._measures.usage_events[status] += 1
        if status == "recorded" and not event.priced:
            self._measures.unpriced_events += 1
        return Report(event.request_id, status, event.cost_nanousd, event.priced, late)


def _booking_or_status(
    event: UsageInput, policy: Policy | None, held: Held | None, context: Context
) -> Booking | ReportStatus:
    if policy is None and held is None:
        return "unknown_key"
    if policy is not None and held is not None and held.details.virtual_key_id != policy.virtual_key_id:
        # Another virtual key's call holds under this id.
        return "conflict"
    return booking_of(event, policy, held, context)
