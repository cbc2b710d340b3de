"""Reset durations: how often a limit starts anew.

The grammar is the wire's (a Go duration, or an integer and d, w, M, Q or Y, or a word); `sql/migrations/0001_words.sql`
holds its twin, and a test holds the two together.
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import Literal

import msgspec

US_PER_SECOND = 1_000_000
US_PER_DAY = 86_400 * US_PER_SECOND
SHORTEST_US = US_PER_SECOND
LONGEST_US = 3650 * US_PER_DAY

CalendarUnit = Literal["d", "w", "M", "Q", "Y"]

_WORDS = {"daily": "1d", "weekly": "1w", "monthly": "1M", "quarterly": "1Q", "yearly": "1Y"}
_DAYS: dict[str, int] = {"d": 1, "w": 7, "M": 30, "Q": 90, "Y": 365}
_GO_UNITS_US = {
    "ns": Fraction(1, 1000),
    "us": Fraction(1),
    "µs": Fraction(1),
    "μs": Fraction(1),
    "ms": Fraction(1000),
    "s": Fraction(US_PER_SECOND),
    "m": Fraction(60 * US_PER_SECOND),
    "h": Fraction(3600 * US_PER_SECOND),
}
_CALENDAR_FORM = re.compile(r"([0-9]{1,9})([dwMQY])")
_GO_PART = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)"
_GO_FORM = re.compile(f"(?:{_GO_PART})+")

# The grammar for readers of JSON Schema, without the bounds.
RATE_DURATION_PATTERN = (
    r"daily|weekly|monthly|yearly|[0-9]{1,9}[dwMY]|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+"
)
DURATION_PATTERN = f"quarterly|[0-9]{{1,9}}Q|{RATE_DURATION_PATTERN}"

ALLOWED = "use a duration from 1s to 10Y such as 30s, 1h30m, 1d, 1w, 1M (month), 1Q or 1Y"


class ResetDuration(msgspec.Struct, frozen=True, gc=False):
    """A parsed reset duration. `calendar_unit` is what calendar alignment snaps to; None for Go durations."""

    length_us: int
    calendar_unit: CalendarUnit | None


@lru_cache(maxsize=1024)
def parse_reset_duration(text: str) -> ResetDuration:
    """Parse the wire's grammar. Raises ValueError saying what is allowed."""
    form = _WORDS.get(text, text)
    if len(form) > 50:
        raise ValueError(ALLOWED)
    calendar = _CALENDAR_FORM.fullmatch(form)
    if calendar:
        unit: CalendarUnit = calendar[2]  # type: ignore[assignment]  # the pattern admits only these
        length_us = int(calendar[1]) * _DAYS[unit] * US_PER_DAY
        return ResetDuration(length_us=_bounded(length_us), calendar_unit=unit)
    if not _GO_FORM.fullmatch(form):
        raise ValueError(ALLOWED)
    length = sum(Fraction(part[1]) * _GO_UNITS_US[part[2]] for part in re.finditer(_GO_PART, form))
    return ResetDuration(length_us=_bounded(int(length)), calendar_unit=None)


def _bounded(length_us: int) -> int:
    if not SHORTEST_US <= length_us <= LONGEST_US:
        raise ValueError(ALLOWED)
    return length_us
