"""Decisions: what may become of a call, by the names and statuses of Bifrost's wire, and two it does not have (parallel
calls, counters that do not answer).
"""

from typing import Literal

import msgspec

from service.domain.money import nanousd_to_json
from service.domain.policy import Limit

DecisionType = Literal[
    "allow",
    "missing_required_headers",
    "virtual_key_required",
    "access_not_found",
    "access_blocked",
    "provider_blocked",
    "model_blocked",
    "mcp_tool_blocked",
    "rate_limited",
    "token_limited",
    "request_limited",
    "parallel_limited",
    "budget_exceeded",
    "counters_unavailable",
]

STATUSES: dict[DecisionType, int] = {
    "allow": 200,
    "missing_required_headers": 400,
    "virtual_key_required": 401,
    "access_not_found": 401,
    "access_blocked": 403,
    "provider_blocked": 403,
    "model_blocked": 403,
    "mcp_tool_blocked": 403,
    "rate_limited": 429,
    "token_limited": 429,
    "request_limited": 429,
    "parallel_limited": 429,
    "budget_exceeded": 402,
    "counters_unavailable": 503,
}

# Bifrost's words for whose limit it is.
_LABELS = {
    "virtual_key": "vk",
    "provider_config": "vk provider config",
    "model_config": "vk model config",
    "team": "team",
    "customer": "customer",
    "provider": "provider",
    "model": "model",
}
_RATE_KINDS: dict[frozenset[str], DecisionType] = {
    frozenset({"tokens"}): "token_limited",
    frozenset({"requests"}): "request_limited",
    frozenset({"tokens", "requests"}): "rate_limited",
}


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """Why a call may not be made, but for its limits."""

    decision: DecisionType
    message: str


class Standing(msgspec.Struct, frozen=True, gc=False):
    """A limit as a call finds it: `requested` None asks for any room at all; `max` and `end_us` are of the window."""

    limit: Limit
    used: int
    held: int
    requested: int | None
    max: int
    end_us: int

    @property
    def is_violated(self) -> bool:
        if self.requested is None:
            return self.used + self.held >= self.max
        return self.used + self.held + self.requested > self.max


def refusal_of(violated: list[Standing]) -> Refusal:
    """The decision the violated limits come to: all rate limits go before parallel calls, these before budgets.

    The first holder that refuses gives the name: Bifrost tells apart by its limits alone.
    """
    rates = [each for each in violated if each.limit.kind in ("tokens", "requests")]
    if rates:
        holder = rates[0].limit.holder
        of_holder = [each for each in rates if each.limit.holder == holder]
        decision = _RATE_KINDS[frozenset(each.limit.kind for each in of_holder)]
        details = ", ".join(map(_rate_text, of_holder))
        return Refusal(decision, f"rate limit violated for {_LABELS[holder.level]} {holder.name}: [{details}]")
    first = next((each for each in violated if each.limit.kind == "parallel"), violated[0])
    holder, limit = first.limit.holder, first.limit
    if limit.kind == "parallel":
        text = f"{_LABELS[holder.level]} {holder.name} has {first.held} of {first.max} parallel calls under way"
        return Refusal("parallel_limited", text)
    return Refusal("budget_exceeded", f"{_LABELS[holder.level]} {holder.name} budget exceeded: {_budget_text(first)}")


def _rate_text(standing: Standing) -> str:
    limit = standing.limit
    word = "token" if limit.kind == "tokens" else "request"
    taken = f"{standing.used + standing.held}/{standing.max}"
    asked = "" if not standing.requested else f", {standing.requested} more asked for"
    return f"{word} limit exceeded ({taken}{asked})"


def _budget_text(standing: Standing) -> str:
    taken, most = standing.used + standing.held, standing.max
    if standing.requested is None or taken >= most:
        return f"{_usd(taken)} >= {_usd(most)} dollars"
    return f"{_usd(taken)} + {_usd(standing.requested)} > {_usd(most)} dollars"


def _usd(amount_nanousd: int) -> str:
    text = nanousd_to_json(amount_nanousd).decode()
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<4}"
