"""Decide while the live counters do not answer: as `decide.py`, from what is known here."""

import random
from collections.abc import Callable
from typing import Literal

from service.domain.decisions import Refusal
from service.domain.policy import limits_on
from service.governance.admission.call import Call, Outcome, asked_of, chosen_first, refused, verdict_of
from service.governance.admission.choose import eligible, in_turn
from service.governance.admission.doubts import Doubts
from service.governance.admission.verdict import Verdict
from service.governance.admission.without_redis import LocalDecisions
from service.governance.policies.prices import PriceBook

OnCountersUnavailable = Literal["deny", "allow", "local"]
_UNAVAILABLE = Refusal("counters_unavailable", "the counters do not answer")


class DegradedDecisions:
    """As the setting says. `draw` picks among providers by weight."""

    def __init__(
        self,
        local: LocalDecisions,
        prices: PriceBook,
        doubts: Doubts,
        *,
        policy: OnCountersUnavailable,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._local = local
        self._prices = prices
        self._doubts = doubts
        self._policy = policy
        self._draw = draw

    async def decide(self, call: Call) -> Verdict:
        """Raises RefusedError."""
        order = in_turn(call.candidates.providers, self._draw)
        first: Verdict | None = None
        for access in order or (None,):
            provider = call.candidates.provider if access is None else access.provider
            verdict, may_go_on = await self._at(call, provider)
            if not may_go_on:
                break
            first = first or verdict
        shown = first if may_go_on and first is not None else verdict
        if shown.decision != "counters_unavailable":
            shown.providers = [eligible(each) for each in chosen_first(order, shown)]
        if not shown.allowed:
            self._doubts.add(call.request_id, (call.policy.tenant.id, call.whole.tenant.id))
        shown.degraded = self._policy
        return shown

    async def _at(self, call: Call, provider: str | None) -> tuple[Verdict, bool]:
        """And whether another provider may have room."""
        model = call.candidates.model
        limits = tuple(limits_on(call.whole.path(provider, model), call.policy.path(provider, model)))
        asked = asked_of(call, provider, self._prices, has_global=False)
        decided = await self._local.decide(asked, limits)
        if decided is None:
            return refused(_UNAVAILABLE, call.request_id, call.now_us, call.policy), False
        return verdict_of(call, provider, Outcome(decided.outcome, (decided,))), decided.outcome == "refused"
