"""What the budget engine counts about itself. Every word it is counted under is one of a fixed few."""

from collections import Counter
from collections.abc import Callable

from msgspec import Struct, field

from service.domain.measures import SIZES, Distribution


def _sizes() -> Distribution:
    return Distribution(SIZES)


class EngineMeasures(Struct):
    """Of one worker, since its start. What is kept in a store is as the last look at it found."""

    # By decision of the wire: `allowed`, `budget_exceeded`, …
    decisions: Counter[str] = field(default_factory=Counter)
    # Decisions made without live counters, by what was done instead: `deny`, `allow`, `local`.
    degraded_decisions: Counter[str] = field(default_factory=Counter)
    # By what became of them: `recorded`, `duplicate`, `conflict`, …
    usage_events: Counter[str] = field(default_factory=Counter)
    # Booked although no price is known.
    unpriced_events: int = 0
    batch_events: Distribution = field(default_factory=_sizes)
    # From the arrival of an event to the commit it is in.
    batch_wait_seconds: Distribution = field(default_factory=Distribution)
    # How many wait now, by queue.
    queues: dict[str, Callable[[], int]] = field(default_factory=dict)
    holds_open: int = 0
    holds_expired: int = 0
    alerts_pending: int = 0
    # By result: `delivered`, `retried`, `given_up`.
    webhook_deliveries: Counter[str] = field(default_factory=Counter)
