"""Windows: the period a meter counts in. Pure functions, the same for every path that reads, checks, charges or resets.

A rolling window lies on a fixed lattice `anchor + k × duration`. A calendar-aligned one starts at midnight, on
Monday, on the 1st, at a quarter or on 1 January, in the owner's time zone; the multiplier is ignored there (`3M` is
every month), and durations without a calendar unit stay rolling. Nothing sweeps: a window that has ended reads as
zero.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from service.domain.durations import CalendarUnit, ResetDuration

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class ResetRule(msgspec.Struct, frozen=True, gc=False):
    """When a meter starts anew. `anchored_us` is the creation of its limit, in microseconds since 1970."""

    duration: ResetDuration
    anchored_us: int
    calendar_aligned: bool = False
    time_zone: str = "UTC"
    quarter_start_month: int = 1


class Window(msgspec.Struct, frozen=True, gc=False):
    """Half open: `start <= t < end`, both aware UTC."""

    start: datetime
    end: datetime


def window_at(rule: ResetRule, now: datetime) -> Window:
    """The window of `rule` that holds the instant `now`."""
    start_us, end_us = window_us_at(rule, to_us(now))
    return Window(start=from_us(start_us), end=from_us(end_us))


def window_us_at(rule: ResetRule, now_us: int) -> tuple[int, int]:
    """As `window_at`, in microseconds since 1970: cheap enough to be asked for each limit of each call."""
    if rule.calendar_aligned and rule.duration.calendar_unit is not None:
        return _calendar_window_us(rule.duration.calendar_unit, rule.time_zone, rule.quarter_start_month, now_us)
    length_us = rule.duration.length_us
    start_us = now_us - (now_us - rule.anchored_us) % length_us
    return start_us, start_us + length_us


def windows_since(rule: ResetRule, earlier: datetime, now: datetime) -> int:
    """How many windows have begun after the one that holds `earlier`, up to the one that holds `now`."""
    unit = rule.duration.calendar_unit
    first, current = window_at(rule, earlier).start, window_at(rule, now).start
    if not rule.calendar_aligned or unit is None:
        return (current - first) // timedelta(microseconds=rule.duration.length_us)
    zone = _zone(rule.time_zone)
    first_day, current_day = first.astimezone(zone).date(), current.astimezone(zone).date()
    if unit in ("d", "w"):
        return (current_day - first_day).days // (7 if unit == "w" else 1)
    months = (current_day.year - first_day.year) * 12 + current_day.month - first_day.month
    return months // {"M": 1, "Q": 3, "Y": 12}[unit]


def to_us(instant: datetime) -> int:
    """Microseconds since 1970, as windows travel through Redis."""
    return (instant - _EPOCH) // _MICROSECOND


def from_us(instant_us: int) -> datetime:
    """The aware UTC datetime of `to_us`."""
    return _EPOCH + timedelta(microseconds=instant_us)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        # The schema admits only zones Postgres knows; one it knows and tzdata does not must not stop every read.
        return ZoneInfo("UTC")


# The window met last, by unit, zone and first month of the year: limits share few, and one lasts a day or more.
_met: dict[tuple[CalendarUnit, str, int], tuple[int, int]] = {}
_MOST_MET = 4096


def _calendar_window_us(unit: CalendarUnit, time_zone: str, quarter_start_month: int, now_us: int) -> tuple[int, int]:
    kind = unit, time_zone, quarter_start_month
    known = _met.get(kind)
    if known is not None and known[0] <= now_us < known[1]:
        return known
    zone = _zone(time_zone)
    first = _first_day(unit, from_us(now_us).astimezone(zone).date(), quarter_start_month)
    window = to_us(_midnight(first, zone)), to_us(_midnight(_next_first_day(unit, first), zone))
    if len(_met) >= _MOST_MET:
        _met.clear()
    _met[kind] = window
    return window


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    # Where clocks skip midnight, fold=0 reads 00:00 with the offset before the gap: the first instant of the day.
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _first_day(unit: CalendarUnit, day: date, quarter_start_month: int) -> date:
    match unit:
        case "d":
            return day
        case "w":
            return day - timedelta(days=day.weekday())
        case "M":
            return day.replace(day=1)
        case "Q":
            return _add_months(day.replace(day=1), -((day.month - quarter_start_month) % 3))
        case "Y":
            return day.replace(month=1, day=1)


def _next_first_day(unit: CalendarUnit, first: date) -> date:
    match unit:
        case "d":
            return first + timedelta(days=1)
        case "w":
            return first + timedelta(days=7)
        case "M":
            return _add_months(first, 1)
        case "Q":
            return _add_months(first, 3)
        case "Y":
            return first.replace(year=first.year + 1)


def _add_months(first: date, months: int) -> date:
    year, month_index = divmod(first.year * 12 + first.month - 1 + months, 12)
    return date(year, month_index + 1, 1)
