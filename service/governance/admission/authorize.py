"""Authorize: the gates in order, then every limit on the path at once; all of it holds, or nothing."""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import uuid4

import msgspec

from service.counters.client import CountersUnavailableError
from service.domain.decisions import Refusal, Standing, refusal_of
from service.domain.gates import Candidates, check_headers, check_key, check_tools, find_candidates
from service.domain.inputs.calls import AuthorizeInput, check_cost
from service.domain.money import usd_to_nanousd
from service.domain.policy import GlobalPolicy, Limit, Policy, ProviderAccess
from service.domain.presented import virtual_key_in
from service.domain.pricing import PricedCall, Tokens
from service.domain.refusals import conflict
from service.domain.windows import to_us
from service.governance.admission.choose import eligible, first_without_room, in_turn
from service.governance.admission.doubts import Doubts
from service.governance.admission.reserve import (
    Asked,
    Reserved,
    Reserver,
    StalePolicyError,
    TakenRequestIdError,
)
from service.governance.admission.verdict import Verdict
from service.governance.admission.without_redis import LocalDecisions
from service.governance.holds import HoldDetails, KnownHolds, decode_details, encode_details
from service.governance.measures import EngineMeasures
from service.governance.policies.cache import Policies
from service.governance.policies.prices import PriceBook
from service.store.postgres import StoreUnavailableError

_MAX_ATTEMPTS = 4
_NOTE_EVERY_US = 30_000_000
_MOST_NOTED = 100_000

OnCountersUnavailable = Literal["deny", "allow", "local"]


class AdmissionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`required_headers` name what each must match; `ttl_seconds` is how long a hold lasts unless told otherwise."""

    ttl_seconds: int = 300
    on_counters_unavailable: OnCountersUnavailable = "local"
    required_headers: Mapping[str, str] = {}


class AdmissionParts(msgspec.Struct, frozen=True, kw_only=True):
    """What admitting works with."""

    policies: Policies
    prices: PriceBook
    reserver: Reserver
    local: LocalDecisions
    known_holds: KnownHolds
    doubts: Doubts


class _Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call that passed the gates."""

    given: AuthorizeInput
    request_id: str
    now_us: int
    policy: Policy
    whole: GlobalPolicy
    candidates: Candidates
    tools: Refusal | None


class _Outcome(msgspec.Struct, frozen=True):
    """Of all tenants whose limits are on the path; the call's own is the last."""

    outcome: Literal["ok", "refused", "repeated"]
    parts: tuple[Reserved, ...]

    def refusing(self) -> list[Standing]:
        return [each for part in self.parts for each in part.standings() if _refuses(each)]


class Admission:
    """Answers whether calls may be made. `draw` picks among providers by weight."""

    def __init__(
        self,
        parts: AdmissionParts,
        *,
        settings: AdmissionSettings,
        measures: EngineMeasures,
        clock: Callable[[], datetime],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._measures = measures
        self._clock = clock
        self._draw = draw
        self._noted: dict[str, int] = {}

    async def authorize(self, given: AuthorizeInput) -> Verdict:
        """Whether the call may be made. Raises RefusedError, StoreUnavailableError."""
        verdict = await self._authorize(given)
        self._measures.decisions[verdict.decision] += 1
        if verdict.degraded is not None:
            self._measures.degraded_decisions[verdict.degraded] += 1
        return verdict

    async def _authorize(self, given: AuthorizeInput) -> Verdict:
        """Raises RefusedError for a request id of another call, StoreUnavailableError when Postgres would know."""
        now = self._clock()
        request_id = given.request_id or str(uuid4())
        self._parts.doubts.end(request_id)
        for attempt in range(_MAX_ATTEMPTS):
            call = await self._pass_gates(given, request_id, now)
            if isinstance(call, Verdict):
                return call
            try:
                return await self._decide(call)
            except StalePolicyError as error:
                # Told of by the counters before Postgres told.
                stale = call.policy if error.tenant_id == call.policy.tenant.id else call.whole
                self._parts.policies.forget(error.tenant_id, stale.revision + 1)
                if attempt == _MAX_ATTEMPTS - 1:
                    raise StoreUnavailableError("the limits change faster than they are loaded") from None
            except TakenRequestIdError as error:
                raise _taken(error) from error
            except CountersUnavailableError:
                return await self._without_redis(call)
        raise AssertionError("unreachable")

    async def _pass_gates(self, given: AuthorizeInput, request_id: str, now: datetime) -> "_Call | Verdict":
        now_us = to_us(now)
        headers = {name.lower(): value for name, value in (given.headers or {}).items()}
        refusal = check_headers(self._settings.required_headers, headers)
        value = given.virtual_key or virtual_key_in(headers)
        if refusal is None and value is None:
            refusal = Refusal("virtual_key_required", "a virtual key is required")
        if refusal is not None or value is None:
            return _refused(refusal, request_id, now_us)
        policy = self._parts.policies.known(value) or await self._parts.policies.find(value)
        refusal = check_key(policy, now)
        if refusal is not None or policy is None:
            return _refused(refusal, request_id, now_us, policy)
        candidates = find_candidates(policy, given.provider, given.model)
        if isinstance(candidates, Refusal):
            return _refused(candidates, request_id, now_us, policy)
        whole = self._parts.policies.whole_at_hand() or await self._parts.policies.whole()
        if given.estimated_cost is None and given.estimated_tokens is not None:
            await self._parts.prices.have()
        return _Call(
            given=given,
            request_id=request_id,
            now_us=now_us,
            policy=policy,
            whole=whole,
            candidates=candidates,
            tools=check_tools(policy, whole, given.mcp_tools) if given.mcp_tools else None,
        )

    async def _decide(self, call: _Call) -> Verdict:
        """One provider after the other, until one has room or none is left that may have."""
        order = in_turn(call.candidates.providers, self._draw)
        blocked: dict[str, Limit] = {}
        first: Verdict | None = None
        for access in order or (None,):
            if access is not None and access.provider in blocked:
                continue
            provider = call.candidates.provider if access is None else access.provider
            others = [each for each in order if each is not access and each.provider not in blocked]
            reserved = await self._reserve(call, provider, others)
            details = reserved.parts[-1].details
            held_for = decode_details(details).provider if details else provider
            if held_for != provider:
                # Asked for again, and another provider was drawn: it holds for the one drawn first.
                provider = held_for
                reserved = await self._reserve(call, provider, [])
            verdict = self._verdict(call, provider, reserved)
            is_refused = reserved.outcome == "refused"
            asked = [access] if is_refused and access is not None else []
            if asked or others:
                blocked |= self._without_room(call, [*asked, *others], reserved)
            if not is_refused:
                break
            first = first or verdict
        shown = first if is_refused and first is not None else verdict
        shown.providers = [eligible(each, blocked.get(each.provider)) for each in _shown(order, shown)]
        return shown

    def _without_room(self, call: _Call, providers: Sequence[ProviderAccess], reserved: _Outcome) -> dict[str, Limit]:
        """By provider, the first limit known to have no room for the call at what it costs there."""
        standings = [standing for part in reserved.parts for standing in (*part.standings(), *part.others)]
        model = call.candidates.model
        found = {
            each.provider: first_without_room(
                call.whole.path(each.provider, model) + call.policy.path(each.provider, model),
                standings,
                cost_nanousd=self._estimated_cost_nanousd(call, each.provider),
            )
            for each in providers
        }
        return {provider: limit for provider, limit in found.items() if limit is not None}

    async def _reserve(self, call: _Call, provider: str | None, others: Sequence[ProviderAccess]) -> _Outcome:
        """The limits of the whole deployment first; they are given back when the tenant's own refuse."""
        model = call.candidates.model
        whole_path = call.whole.path(provider, model)
        asked = self._asked(call, provider, has_global=bool(whole_path))
        whole = Reserved("ok", asked, (), ())
        if whole_path:
            whole = await self._reserve_whole(call, provider, asked, whole_path)
            await self._note(call.whole.tenant.id, call.now_us)
        if whole.outcome == "refused":
            asked = msgspec.structs.replace(asked, reserve=False)
        try:
            await self._note(call.policy.tenant.id, call.now_us)
            own = await self._parts.reserver.reserve(
                call.policy.tenant, asked, call.policy.path(provider, model), _limits_of(others)
            )
        except BaseException:
            await self._give_back(call, whole)
            raise
        if own.outcome == "refused" or (own.outcome == "repeated" and whole.outcome == "ok"):
            await self._give_back(call, whole)
        elif whole.outcome != "refused" and asked.reserve:
            self._parts.known_holds.add(call.request_id, call.policy.tenant.id, own.expires_us)
        # What holds already stands, whatever the deployment's limits have become.
        is_refused = whole.outcome == "refused" and own.outcome != "repeated"
        outcome = "refused" if is_refused else own.outcome
        return _Outcome(outcome, (whole, own) if whole_path else (own,))

    async def _reserve_whole(
        self, call: _Call, provider: str | None, asked: Asked, whole_path: Sequence[Limit]
    ) -> Reserved:
        """What is left of an attempt at another provider, which did not come as far as the call's own limits, goes."""
        reserver, tenant = self._parts.reserver, call.whole.tenant
        whole = await reserver.reserve(tenant, asked, whole_path)
        is_of_another = bool(whole.details) and decode_details(whole.details).provider != provider
        if is_of_another and not await reserver.holds(call.policy.tenant, call.request_id):
            await reserver.give_back(tenant, call.request_id, now_us=call.now_us)
            whole = await reserver.reserve(tenant, asked, whole_path)
        return whole

    async def _give_back(self, call: _Call, whole: Reserved) -> None:
        if whole.outcome == "ok" and whole.limits:
            await self._parts.reserver.give_back(call.whole.tenant, call.request_id, now_us=call.now_us)

    async def _note(self, tenant_id: str, now_us: int) -> None:
        """Let whoever looks for expired holds know of the tenant, now and again."""
        if now_us - self._noted.get(tenant_id, -_NOTE_EVERY_US) < _NOTE_EVERY_US:
            return
        if len(self._noted) >= _MOST_NOTED:
            self._noted.clear()
        await self._parts.reserver.note(tenant_id, now_us=now_us)
        self._noted[tenant_id] = now_us

    def _asked(self, call: _Call, provider: str | None, *, has_global: bool) -> Asked:
        given, policy = call.given, call.policy
        ttl_us = int((given.ttl or self._settings.ttl_seconds) * 1_000_000)
        tokens, cost_nanousd = given.estimated_tokens, self._estimated_cost_nanousd(call, provider)
        check_cost(cost_nanousd or 0)
        details = HoldDetails(
            policy.tenant.id,
            policy.virtual_key_id,
            policy.team_id,
            policy.customer_id,
            provider,
            call.candidates.model,
            tokens,
            cost_nanousd,
            call.now_us,
            has_global,
        )
        return Asked(
            request_id=call.request_id,
            fingerprint=_fingerprint(policy, given),
            details=encode_details(details),
            now_us=call.now_us,
            expires_us=call.now_us + ttl_us,
            # Nothing is as good as unknown: it must find some room.
            amounts={"tokens": tokens or None, "budget": cost_nanousd or None, "requests": 1, "parallel": 1},
            reserve=call.tools is None,
        )

    def _estimated_cost_nanousd(self, call: _Call, provider: str | None) -> int | None:
        """As it is given, else what the estimated tokens cost; None when neither is known."""
        given, model = call.given, call.candidates.model
        if given.estimated_cost is not None:
            return usd_to_nanousd(given.estimated_cost)
        if given.estimated_tokens is None or model is None:
            return None
        priced = PricedCall(model=model, provider_id=provider, virtual_key_id=call.policy.virtual_key_id)
        tokens = Tokens(input_tokens=given.estimated_input_tokens or 0, output_tokens=given.max_output_tokens or 0)
        return self._parts.prices.cost_nanousd(priced, tokens)

    async def _without_redis(self, call: _Call) -> Verdict:
        """As `_decide`, from what is known here."""
        order = in_turn(call.candidates.providers, self._draw)
        first: Verdict | None = None
        for access in order or (None,):
            provider = call.candidates.provider if access is None else access.provider
            verdict, may_go_on = await self._decide_here(call, provider)
            if not may_go_on:
                break
            first = first or verdict
        shown = first if may_go_on and first is not None else verdict
        if shown.decision != "counters_unavailable":
            shown.providers = [eligible(each) for each in _shown(order, shown)]
        if not shown.allowed:
            self._parts.doubts.add(call.request_id, (call.policy.tenant.id, call.whole.tenant.id))
        shown.degraded = self._settings.on_counters_unavailable
        return shown

    async def _decide_here(self, call: _Call, provider: str | None) -> tuple[Verdict, bool]:
        """And whether another provider may have room."""
        model = call.candidates.model
        limits = call.whole.path(provider, model) + call.policy.path(provider, model)
        decided = await self._parts.local.decide(self._asked(call, provider, has_global=False), limits)
        if decided is None:
            refusal = Refusal("counters_unavailable", "the counters do not answer")
            return _refused(refusal, call.request_id, call.now_us, call.policy), False
        return self._verdict(call, provider, _Outcome(decided.outcome, (decided,))), decided.outcome == "refused"

    def _verdict(self, call: _Call, provider: str | None, reserved: _Outcome) -> Verdict:
        verdict = Verdict(
            decision="allow",
            request_id=call.request_id,
            now_us=call.now_us,
            reserved=reserved.parts,
            provider=provider,
            model=call.candidates.model,
            virtual_key_id=call.policy.virtual_key_id,
            team_id=call.policy.team_id,
            customer_id=call.policy.customer_id,
        )
        refusal = call.tools
        if reserved.outcome == "refused":
            refusal = refusal_of(reserved.refusing())
        if refusal is None:
            verdict.expires_us = reserved.parts[-1].expires_us
        else:
            verdict.decision, verdict.message = refusal.decision, refusal.message
        return verdict


def _refuses(standing: Standing) -> bool:
    return standing.is_violated and not standing.limit.shadow


def _limits_of(others: Sequence[ProviderAccess]) -> list[Limit]:
    return [limit for each in others for limit in each.limits]


def _shown(order: Sequence[ProviderAccess], verdict: Verdict) -> list[ProviderAccess]:
    """The chosen one first."""
    return sorted(order, key=lambda each: each.provider != verdict.provider)


def _fingerprint(policy: Policy, given: AuthorizeInput) -> str:
    # No text holds the separator.
    return "\n".join(
        (
            policy.virtual_key_id,
            given.provider or "",
            given.model or "",
            f"{given.estimated_input_tokens}|{given.max_output_tokens}|{given.estimated_cost}",
            *(given.mcp_tools or ()),
        )
    )


def _refused(refusal: Refusal | None, request_id: str, now_us: int, policy: Policy | None = None) -> Verdict:
    refusal = refusal or Refusal("access_not_found", "virtual key not found")
    verdict = Verdict(decision=refusal.decision, message=refusal.message, request_id=request_id, now_us=now_us)
    if policy is not None:
        verdict.virtual_key_id, verdict.team_id = policy.virtual_key_id, policy.team_id
        verdict.customer_id = policy.customer_id
    return verdict


def _taken(error: TakenRequestIdError) -> Exception:
    if str(error) == "ended":
        return conflict("This request_id was settled, released or has expired already", path="$.request_id")
    return conflict("This request_id holds another call", path="$.request_id")
