"""Authorize: the gates in order, then every limit on the path at once; all of it holds, or nothing."""

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import uuid4

import msgspec

from service.counters.client import CountersUnavailableError
from service.domain.decisions import Refusal
from service.domain.gates import check_headers, check_key, check_tools, find_candidates
from service.domain.inputs.calls import AuthorizeInput
from service.domain.presented import virtual_key_in
from service.domain.refusals import conflict
from service.domain.windows import to_us
from service.governance.admission.call import Call, refused
from service.governance.admission.decide import LiveDecisions
from service.governance.admission.degraded import DegradedDecisions
from service.governance.admission.doubts import Doubts
from service.governance.admission.reserve import StalePolicyError, TakenRequestIdError
from service.governance.admission.verdict import Verdict
from service.governance.measures import EngineMeasures
from service.governance.policies.cache import Policies
from service.governance.policies.prices import PriceBook
from service.store.postgres import StoreUnavailableError

_MAX_ATTEMPTS = 4
_US_PER_SECOND = 1_000_000


class AdmissionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`required_headers` name what each must match; `ttl_seconds` is how long a hold lasts unless told otherwise."""

    ttl_seconds: int = 300
    required_headers: Mapping[str, str] = {}


class AdmissionParts(msgspec.Struct, frozen=True, kw_only=True):
    """What admitting works with: `live` decides by the counters, `degraded` while they do not answer."""

    policies: Policies
    prices: PriceBook
    live: LiveDecisions
    degraded: DegradedDecisions
    doubts: Doubts


class Admission:
    """Answers whether calls may be made."""

    def __init__(
        self,
        parts: AdmissionParts,
        *,
        settings: AdmissionSettings,
        measures: EngineMeasures,
        clock: Callable[[], datetime],
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._measures = measures
        self._clock = clock

    async def authorize(self, given: AuthorizeInput) -> Verdict:
        """Whether the call may be made. Raises RefusedError, StoreUnavailableError."""
        now = self._clock()
        request_id = given.request_id or str(uuid4())
        self._parts.doubts.end(request_id)
        verdict = await self._decide(given, request_id, now)
        self._measures.decisions[verdict.decision] += 1
        if verdict.degraded is not None:
            self._measures.degraded_decisions[verdict.degraded] += 1
        return verdict

    async def _decide(self, given: AuthorizeInput, request_id: str, now: datetime) -> Verdict:
        """Raises RefusedError for a request id of another call, StoreUnavailableError when Postgres would know."""
        for attempt in range(_MAX_ATTEMPTS):
            call = await self._pass_gates(given, request_id, now)
            if isinstance(call, Verdict):
                return call
            try:
                return await self._parts.live.decide(call)
            except StalePolicyError as error:
                # Told of by the counters before Postgres told.
                stale = call.policy if error.tenant_id == call.policy.tenant.id else call.whole
                self._parts.policies.forget(error.tenant_id, stale.revision + 1)
                if attempt == _MAX_ATTEMPTS - 1:
                    raise StoreUnavailableError("the limits change faster than they are loaded") from None
            except TakenRequestIdError as error:
                raise _taken(error) from error
            except CountersUnavailableError:
                return await self._parts.degraded.decide(call)
        raise AssertionError("unreachable")

    async def _pass_gates(self, given: AuthorizeInput, request_id: str, now: datetime) -> Call | Verdict:
        now_us, policies, policy = to_us(now), self._parts.policies, None
        headers = {name.lower(): value for name, value in given.headers.items()} if given.headers else {}
        value = given.virtual_key or virtual_key_in(headers)
        refusal = self._check_request(headers, value)
        if refusal is None and value is not None:
            policy = policies.known(value) or await policies.find(value)
            refusal = check_key(policy, now)
        if refusal is not None or policy is None:
            return refused(refusal or _NO_SUCH_KEY, request_id, now_us, policy)
        candidates = find_candidates(policy, given.provider, given.model)
        if isinstance(candidates, Refusal):
            return refused(candidates, request_id, now_us, policy)
        whole = policies.whole_at_hand() or await policies.whole()
        if given.estimated_cost is None and given.estimated_tokens is not None:
            await self._parts.prices.have()
        expires_us = now_us + int((given.ttl or self._settings.ttl_seconds) * _US_PER_SECOND)
        tools = check_tools(policy, whole, given.mcp_tools) if given.mcp_tools else None
        return Call(given, request_id, now_us, expires_us, policy, whole, candidates, tools)

    def _check_request(self, headers: Mapping[str, str], value: str | None) -> Refusal | None:
        if self._settings.required_headers:
            refusal = check_headers(self._settings.required_headers, headers)
            if refusal is not None:
                return refusal
        return Refusal("virtual_key_required", "a virtual key is required") if value is None else None


_NO_SUCH_KEY = Refusal("access_not_found", "virtual key not found")


def _taken(error: TakenRequestIdError) -> Exception:
    if str(error) == "ended":
        return conflict("This request_id was settled, released or has expired already", path="$.request_id")
    return conflict("This request_id holds another call", path="$.request_id")
