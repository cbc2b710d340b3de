"""Parts of time that usage is summed up over: whole hours, and within them whole days, in UTC. Pure functions."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

Interval = Literal["hour", "day", "month"]

HOUR = timedelta(hours=1)
# What a calendar can hold with an hour to spare; there is no usage outside.
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


class Hours(msgspec.Struct, frozen=True):
    """Half open, both on the hour."""

    start: datetime
    end: datetime


class Part(msgspec.Struct, frozen=True):
    """The hours from `from_hour` to `to_hour`, of which those from `from_midnight` to `to_midnight` are whole days.

    Without a whole day both midnights are `to_hour`.
    """

    from_hour: datetime
    from_midnight: datetime
    to_midnight: datetime
    to_hour: datetime


def whole_hours(from_at: datetime, to_at: datetime) -> Hours:
    """Every hour that holds some of the time between."""
    start, end = (min(max(instant, _EARLIEST), _LATEST) for instant in (from_at, to_at))
    return Hours(_floor(start, "hour"), _ceiling(end, "hour"))


def parts_of(hours: Hours, interval: Interval | None) -> list[Part]:
    """The calendar's hours, days or months within; all of it without an interval. The outermost may be cut short."""
    if hours.start >= hours.end:
        return []
    bounds = [hours.start]
    while interval is not None and (following := _following(bounds[-1], interval)) < hours.end:
        bounds.append(following)
    return [_part(start, end) for start, end in zip(bounds, [*bounds[1:], hours.end], strict=True)]


def _part(start: datetime, end: datetime) -> Part:
    from_midnight, to_midnight = _ceiling(start, "day"), _floor(end, "day")
    if from_midnight >= to_midnight:
        return Part(start, end, end, end)
    return Part(start, from_midnight, to_midnight, end)


def _floor(instant: datetime, interval: Interval) -> datetime:
    on_the_hour = instant.replace(minute=0, second=0, microsecond=0)
    match interval:
        case "hour":
            return on_the_hour
        case "day":
            return on_the_hour.replace(hour=0)
        case "month":
            return on_the_hour.replace(hour=0, day=1)


def _following(instant: datetime, interval: Interval) -> datetime:
    """The start of the next hour, day or month."""
    start = _floor(instant, interval)
    # From the first of a month, 31 days later is in the next one.
    return _floor(start + {"hour": HOUR, "day": 24 * HOUR, "month": 31 * 24 * HOUR}[interval], interval)


def _ceiling(instant: datetime, interval: Interval) -> datetime:
    start = _floor(instant, interval)
    return start if start == instant else _following(instant, interval)
