"""What a gateway knows of each call it made: what it asked, what it was told, and what it was not."""

import time
from typing import Any, Literal

import msgspec

from tests.faults.chaos.scene import Key

NANOUSD = 1_000_000_000

# held: admitted with a hold; degraded: admitted while Redis was away; unknown: never answered.
Admitted = Literal["not asked", "held", "degraded", "refused", "unknown"]
Fate = Literal["reported", "reported late", "unannounced", "reported once", "never reported", "released"]


# How long a call holds: long enough to be reported, or too short for it.
HOLD_SECONDS, SHORT_HOLD_SECONDS = 8.0, 1.5


class Amount(msgspec.Struct, frozen=True):
    cost_nanousd: int
    tokens: int


class Call(msgspec.Struct):
    """`asked_at` and `answered_at` are of the last time it was asked for; times are monotonic seconds."""

    request_id: str
    key: Key
    fate: Fate
    estimate: Amount
    body: dict[str, Any]
    begun_at: float = msgspec.field(default_factory=time.monotonic)
    admitted: Admitted = "not asked"
    refused_while_degraded: bool = False
    answered_at: float = 0.0
    answered_by: int = 0
    report: dict[str, Any] | None = None
    used: Amount | None = None
    times_sent: int = 0
    acknowledged: bool = False
    released: Literal["no", "yes", "late", "unknown"] = "no"

    @property
    def hold_seconds(self) -> float:
        return float(self.body["ttl"])
