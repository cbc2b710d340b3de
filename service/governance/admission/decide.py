"""Decide by the live counters: one provider after the other, all limits of its path at once."""

import random
from collections.abc import Callable, Sequence

import msgspec

from service.domain.policy import Limit, Limits, ProviderAccess, limits_on
from service.governance.admission.call import Call, Outcome, asked_of, chosen_first, estimated_cost_nanousd, verdict_of
from service.governance.admission.choose import eligible, first_without_room, in_turn
from service.governance.admission.reserve import Asked, Reserved, Reserver
from service.governance.admission.verdict import Verdict
from service.governance.holds import KnownHolds, decode_details
from service.governance.policies.prices import PriceBook


class LiveDecisions:
    """Raises what `Reserver.reserve` does, and RefusedError. `draw` picks among providers by weight."""

    def __init__(
        self,
        reserver: Reserver,
        prices: PriceBook,
        known_holds: KnownHolds,
        *,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._reserver = reserver
        self._prices = prices
        self._known_holds = known_holds
        self._draw = draw

    async def decide(self, call: Call) -> Verdict:
        """Until a provider has room or none is left that may have."""
        order = in_turn(call.candidates.providers, self._draw)
        if len(order) > 1:
            return await self._decide_among(order, call)
        provider = order[0].provider if order else call.candidates.provider
        provider, reserved = await self._ask(call, provider, ())
        verdict = verdict_of(call, provider, reserved)
        blocked = self._without_room(call, order, reserved) if order and reserved.outcome == "refused" else {}
        verdict.providers = [eligible(each, blocked.get(each.provider)) for each in order]
        return verdict

    async def _decide_among(self, order: Sequence[ProviderAccess], call: Call) -> Verdict:
        blocked: dict[str, Limit] = {}
        first: Verdict | None = None
        for access in order:
            if access.provider in blocked:
                continue
            others = [each for each in order if each is not access and each.provider not in blocked]
            provider, reserved = await self._ask(call, access.provider, others)
            verdict = verdict_of(call, provider, reserved)
            is_refused = reserved.outcome == "refused"
            blocked |= self._without_room(call, [*([access] if is_refused else []), *others], reserved)
            if not is_refused:
                break
            first = first or verdict
        shown = first if is_refused and first is not None else verdict
        shown.providers = [eligible(each, blocked.get(each.provider)) for each in chosen_first(order, shown)]
        return shown

    async def _ask(
        self, call: Call, provider: str | None, others: Sequence[ProviderAccess]
    ) -> tuple[str | None, Outcome]:
        """For a provider; a call that is asked for again holds for the one drawn first, and that one is answered."""
        reserved = await self._reserve(call, provider, others)
        details = reserved.parts[-1].details
        if not details or (held_for := decode_details(details).provider) == provider:
            return provider, reserved
        return held_for, await self._reserve(call, held_for, [])

    def _without_room(self, call: Call, providers: Sequence[ProviderAccess], reserved: Outcome) -> dict[str, Limit]:
        """By provider, the first limit known to have no room for the call at what it costs there."""
        standings = [standing for part in reserved.parts for standing in (*part.standings(), *part.others)]
        model = call.candidates.model
        found = {
            each.provider: first_without_room(
                limits_on(call.whole.path(each.provider, model), call.policy.path(each.provider, model)),
                standings,
                cost_nanousd=estimated_cost_nanousd(call, each.provider, self._prices),
            )
            for each in providers
        }
        return {provider: limit for provider, limit in found.items() if limit is not None}

    async def _reserve(self, call: Call, provider: str | None, others: Sequence[ProviderAccess]) -> Outcome:
        model = call.candidates.model
        whole_path = call.whole.path(provider, model)
        asked = asked_of(call, provider, self._prices, has_global=bool(whole_path))
        path = call.policy.path(provider, model)
        if whole_path:
            whole = await self._reserve_whole(call, provider, asked, whole_path)
            return await self._reserve_beside(whole, call, asked, (path, others))
        own = await self._reserve_own(call, asked, (path, others))
        return Outcome(own.outcome, (own,))

    async def _reserve_own(
        self, call: Call, asked: Asked, limits: tuple[Sequence[Limits], Sequence[ProviderAccess]]
    ) -> Reserved:
        """On the path; what others are limited to is only looked at."""
        path, others = limits
        tenant = call.policy.tenant
        await self._reserver.note(tenant.id, now_us=call.now_us)
        own = await self._reserver.reserve(tenant, asked, path, [each.limits for each in others])
        if own.outcome != "refused" and asked.hold.reserve:
            self._known_holds.add(call.request_id, tenant.id, own.expires_us)
        return own

    async def _reserve_beside(
        self, whole: Reserved, call: Call, asked: Asked, limits: tuple[Sequence[Limits], Sequence[ProviderAccess]]
    ) -> Outcome:
        """After the limits of the whole deployment, which are given back when the tenant's own refuse."""
        await self._reserver.note(call.whole.tenant.id, now_us=call.now_us)
        if whole.outcome == "refused":
            asked = msgspec.structs.replace(asked, hold=msgspec.structs.replace(asked.hold, reserve=False))
        try:
            own = await self._reserve_own(call, asked, limits)
        except BaseException:
            await self._give_back(call, whole)
            raise
        if own.outcome != "ok":
            await self._give_back(call, whole)
        # What holds already stands, whatever the deployment's limits have become.
        is_refused = whole.outcome == "refused" and own.outcome != "repeated"
        return Outcome("refused" if is_refused else own.outcome, (whole, own))

    async def _reserve_whole(
        self, call: Call, provider: str | None, asked: Asked, whole_path: Sequence[Limits]
    ) -> Reserved:
        """What is left of an attempt at another provider, which did not come as far as the call's own limits, goes."""
        reserver, tenant = self._reserver, call.whole.tenant
        whole = await reserver.reserve(tenant, asked, whole_path)
        is_of_another = bool(whole.details) and decode_details(whole.details).provider != provider
        if is_of_another and not await reserver.holds(call.policy.tenant, call.request_id):
            await reserver.give_back(tenant, call.request_id, now_us=call.now_us)
            whole = await reserver.reserve(tenant, asked, whole_path)
        return whole

    async def _give_back(self, call: Call, whole: Reserved) -> None:
        if whole.outcome == "ok":
            await self._reserver.give_back(call.whole.tenant, call.request_id, now_us=call.now_us)
