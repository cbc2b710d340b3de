"""Why the number of a meter is what it is: the counts of three places, and what may set them apart."""

from typing import Literal

import msgspec

Between = Literal["ledger, window_total", "live, window_total"]
Reason = Literal[
    "too_many_events",
    "events_dropped",
    "events_missing",
    "total_behind",
    "live_only",
    "redis_unavailable",
    "cold",
    "not_merged",
    "live_ahead",
]

SAYS: dict[Reason, str] = {
    "too_many_events": "the window has more events than are added up for one answer",
    "events_dropped": "the window began before the oldest event that is kept",
    "events_missing": "the ledger holds less than was counted: events are gone that should be there",
    "total_behind": "the ledger holds more than was counted: the running total was changed",
    "live_only": "windows shorter than an hour are counted in Redis only",
    "redis_unavailable": "Redis does not answer: the running total stands for the live counter",
    "cold": "Redis does not have the counter: it is loaded from the running total when it is needed",
    "not_merged": "the running total has not reached Redis yet: it is merged there within seconds",
    "live_ahead": "the live counter is ahead of the ledger: it was changed in Redis, or Postgres was restored",
}
# What should never be.
_UNACCOUNTED: frozenset[Reason] = frozenset(("events_missing", "total_behind", "live_ahead"))


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """One window of one meter, in its unit. `ledger` None: not added up. `live` None: not in Redis."""

    ledger: int | None
    events: int
    carried: int
    window_total: int
    live: int | None


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """`is_short`: of a length that only Redis counts. `may_be_dropped`: the window began before the ledger does."""

    is_short: bool
    may_be_dropped: bool
    redis_answers: bool


class Difference(msgspec.Struct, frozen=True):
    """`amount` is the first count less the second."""

    between: Between
    amount: int
    reason: Reason


def differences(counts: Counts, circumstances: Circumstances) -> list[Difference]:
    """Where the counts are not alike, and why."""
    if circumstances.is_short and not counts.window_total and not counts.events:
        return [Difference("live, window_total", counts.live, "live_only")] if counts.live else []
    found = (_of_the_ledger(counts, circumstances), _of_redis(counts, circumstances))
    return [difference for difference in found if difference is not None]


def is_accounted(found: list[Difference]) -> bool:
    return not any(difference.reason in _UNACCOUNTED for difference in found)


def _of_the_ledger(counts: Counts, circumstances: Circumstances) -> Difference | None:
    if counts.ledger is None:
        return Difference("ledger, window_total", 0, "too_many_events")
    amount = counts.ledger + counts.carried - counts.window_total
    if not amount:
        return None
    if amount > 0:
        return Difference("ledger, window_total", amount, "total_behind")
    return Difference(
        "ledger, window_total", amount, "events_dropped" if circumstances.may_be_dropped else "events_missing"
    )


def _of_redis(counts: Counts, circumstances: Circumstances) -> Difference | None:
    if counts.live is None:
        reason: Reason = "cold" if circumstances.redis_answers else "redis_unavailable"
        return Difference("live, window_total", -counts.window_total, reason) if counts.window_total else None
    amount = counts.live - counts.window_total
    if not amount:
        return None
    return Difference("live, window_total", amount, "live_ahead" if amount > 0 else "not_merged")
