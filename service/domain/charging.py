"""Which meters a reported call is charged to, in which windows, and with how much."""

from collections.abc import Iterable

import msgspec

from service.domain.policy import Limit, LimitKind
from service.domain.usage import MeterCharge, UsageStatus


class Amounts(msgspec.Struct, frozen=True, gc=False):
    """What one call adds to meters of each kind."""

    cost_nanousd: int
    tokens: int
    requests: int

    def by_kind(self) -> dict[LimitKind, int]:
        return {"budget": self.cost_nanousd, "tokens": self.tokens, "requests": self.requests, "parallel": 0}


def counted_requests(status: UsageStatus) -> int:
    """A call that failed was none, whatever it cost: its tokens and cost count alone."""
    return 1 if status in ("success", "expired") else 0


def charges_at(limits: Iterable[Limit], amounts: Amounts, instant_us: int) -> list[MeterCharge]:
    """Of a call that belongs to the windows of an instant."""
    by_kind = amounts.by_kind()
    return [
        MeterCharge(limit.meter_id, limit.epoch, limit.window_at(instant_us)[0], amount, limit.is_live_only)
        for limit in limits
        if (amount := by_kind[limit.kind])
    ]
