"""A call on its way to a decision: what it asks for, and what it is told."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from service.counters.holds import AskedHold
from service.domain.decisions import Refusal, Standing, refusal_of
from service.domain.gates import Candidates
from service.domain.inputs.calls import AuthorizeInput, check_cost
from service.domain.money import usd_to_nanousd
from service.domain.policy import GlobalPolicy, Policy, ProviderAccess
from service.domain.pricing import PricedCall, Tokens
from service.governance.admission.reserve import Asked, Reserved
from service.governance.admission.verdict import Verdict
from service.governance.holds import HoldDetails, encode_details
from service.governance.policies.prices import PriceBook


class Call(msgspec.Struct, frozen=True, gc=False):
    """One that passed the gates. `tools` is why it is refused if its limits have room."""

    given: AuthorizeInput
    request_id: str
    now_us: int
    expires_us: int
    policy: Policy
    whole: GlobalPolicy
    candidates: Candidates
    tools: Refusal | None


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """Of all tenants whose limits are on the path; the call's own is the last."""

    outcome: Literal["ok", "refused", "repeated"]
    parts: tuple[Reserved, ...]

    def refusing(self) -> list[Standing]:
        return [each for part in self.parts for each in part.standings() if each.is_violated and not each.limit.shadow]


def asked_of(call: Call, provider: str | None, prices: PriceBook, *, has_global: bool) -> Asked:
    """What the call asks for at this provider. Raises RefusedError for more than a call can cost."""
    given, policy, model = call.given, call.policy, call.candidates.model
    tokens, cost_nanousd = given.estimated_tokens, estimated_cost_nanousd(call, provider, prices)
    check_cost(cost_nanousd or 0)
    details = HoldDetails(
        policy.tenant.id,
        policy.virtual_key_id,
        policy.team_id,
        policy.customer_id,
        provider,
        model,
        tokens,
        cost_nanousd,
        call.now_us,
        has_global,
    )
    hold = AskedHold(
        call.request_id,
        _fingerprint(policy, given),
        encode_details(details),
        call.now_us,
        call.expires_us,
        call.tools is None,
    )
    # Nothing is as good as unknown: it must find some room.
    return Asked(hold, {"tokens": tokens or None, "budget": cost_nanousd or None, "requests": 1, "parallel": 1})


def estimated_cost_nanousd(call: Call, provider: str | None, prices: PriceBook) -> int | None:
    """As it is given, else what the estimated tokens cost; None when neither is known."""
    given, model = call.given, call.candidates.model
    if given.estimated_cost is not None:
        return usd_to_nanousd(given.estimated_cost)
    if given.estimated_tokens is None or model is None:
        return None
    priced = PricedCall(model=model, provider_id=provider, virtual_key_id=call.policy.virtual_key_id)
    tokens = Tokens(input_tokens=given.estimated_input_tokens or 0, output_tokens=given.max_output_tokens or 0)
    return prices.cost_nanousd(priced, tokens)


def verdict_of(call: Call, provider: str | None, reserved: Outcome) -> Verdict:
    policy, refusal = call.policy, call.tools
    if reserved.outcome == "refused":
        refusal = refusal_of(reserved.refusing())
    return Verdict(
        decision="allow" if refusal is None else refusal.decision,
        message="" if refusal is None else refusal.message,
        request_id=call.request_id,
        now_us=call.now_us,
        reserved=reserved.parts,
        provider=provider,
        model=call.candidates.model,
        virtual_key_id=policy.virtual_key_id,
        team_id=policy.team_id,
        customer_id=policy.customer_id,
        expires_us=reserved.parts[-1].expires_us if refusal is None else None,
    )


def refused(refusal: Refusal, request_id: str, now_us: int, policy: Policy | None = None) -> Verdict:
    """For another reason than its limits."""
    verdict = Verdict(decision=refusal.decision, message=refusal.message, request_id=request_id, now_us=now_us)
    if policy is not None:
        verdict.virtual_key_id, verdict.team_id = policy.virtual_key_id, policy.team_id
        verdict.customer_id = policy.customer_id
    return verdict


def chosen_first(order: Sequence[ProviderAccess], verdict: Verdict) -> Sequence[ProviderAccess]:
    """As eligible providers are shown."""
    if len(order) < 2:
        return order
    return sorted(order, key=lambda each: each.provider != verdict.provider)


def _fingerprint(policy: Policy, given: AuthorizeInput) -> str:
    # No text holds the separator.
    of_tools = "".join([f"\n{tool}" for tool in given.mcp_tools]) if given.mcp_tools else ""
    return (
        f"{policy.virtual_key_id}\n{given.provider or ''}\n{given.model or ''}\n"
        f"{given.estimated_input_tokens}|{given.max_output_tokens}|{given.estimated_cost}{of_tools}"
    )
