"""How much room the limits of a call leave, and when there is more: what a client is told in headers."""

import msgspec

from service.domain.policy import LimitKind
from service.governance.admission.reserve import Reserved
from service.governance.admission.verdict import Verdict

_US_PER_SECOND = 1_000_000
# Parallel calls end when they end; counters that do not answer are asked again every second.
_SOON_SECONDS = 1
_SOON = ("parallel_limited", "counters_unavailable")


class Headroom(msgspec.Struct, frozen=True, gc=False):
    """Of one limit, after this call."""

    limit: int
    remaining: int
    window_seconds: int
    resets_in_seconds: int


def tightest_headroom(verdict: Verdict, kind: LimitKind) -> Headroom | None:
    """Of the limits of the kind, the one with the least room; None when there is none."""
    found = [each for part in verdict.reserved for each in _headrooms(part, kind, verdict)]
    return min(found, key=lambda each: (each.remaining, each.limit), default=None)


def retry_after_seconds(verdict: Verdict) -> int | None:
    """Until the last of the windows ends that have no room; None when waiting is no help."""
    if verdict.decision in _SOON:
        return _SOON_SECONDS
    ends = [
        standing.end_us
        for standing in verdict.standings()
        if standing.is_violated and not standing.limit.shadow and standing.limit.rule is not None
    ]
    return _seconds_until(max(ends), verdict.now_us) if ends and not verdict.allowed else None


def _headrooms(part: Reserved, kind: LimitKind, verdict: Verdict) -> list[Headroom]:
    taken = (part.asked.amounts[kind] or 0) if verdict.allowed else 0
    numbers = iter(part.numbers)
    return [
        Headroom(
            text.max,
            max(text.max - used - held - taken, 0),
            (text.end_us - text.start_us) // _US_PER_SECOND,
            _seconds_until(text.end_us, verdict.now_us),
        )
        for text, used, held in zip(part.limits, numbers, numbers, strict=False)
        if text.kind == kind and not text.is_shadow
    ]


def _seconds_until(instant_us: int, now_us: int) -> int:
    return max(-((now_us - instant_us) // _US_PER_SECOND), 0)
