"""Calendar-aligned windows: midnight, Monday, the 1st, the quarter and 1 January, on the owner's clocks."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from service.domain.durations import parse_reset_duration
from service.domain.windows import ResetRule, Window, from_us, to_us, window_at, windows_since

MICROSECOND = timedelta(microseconds=1)
ANCHOR = datetime(2020, 2, 3, 4, 5, 6, 7, tzinfo=UTC)
# From 2012 on: before that some clocks fell back over midnight, so that a day's end came twice.
INSTANTS = st.integers(to_us(datetime(2012, 1, 1, tzinfo=UTC)), to_us(datetime(2040, 1, 1, tzinfo=UTC))).map(from_us)
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Africa/Cairo",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
]
UNITS = ["1d", "1w", "1M", "1Q", "1Y"]
ALIGNED_RULES = st.builds(
    ResetRule,
    duration=st.sampled_from([parse_reset_duration(text) for text in UNITS]),
    anchored_us=st.just(to_us(ANCHOR)),
    calendar_aligned=st.just(True),
    time_zone=st.sampled_from(ZONES),
    quarter_start_month=st.integers(1, 12),
)


def aligned(text: str, *, time_zone: str = "UTC", quarter_start_month: int = 1) -> ResetRule:
    return ResetRule(parse_reset_duration(text), to_us(ANCHOR), True, time_zone, quarter_start_month)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@given(ALIGNED_RULES, INSTANTS)
def test_a_window_holds_the_instant_it_was_asked_for(rule: ResetRule, now: datetime) -> None:
    window = window_at(rule, now)
    assert window.start <= now < window.end
    assert window.start.tzinfo is window.end.tzinfo is UTC


@given(ALIGNED_RULES, INSTANTS)
def test_windows_follow_one_another_without_gap_or_overlap(rule: ResetRule, now: datetime) -> None:
    window = window_at(rule, now)
    assert window_at(rule, window.start) == window
    assert window_at(rule, window.end).start == window.end
    assert window_at(rule, window.start - MICROSECOND).end == window.start


@given(ALIGNED_RULES, INSTANTS)
def test_a_window_begins_with_a_day_of_the_owner_s_calendar(rule: ResetRule, now: datetime) -> None:
    start = window_at(rule, now).start
    zone = ZoneInfo(rule.time_zone)
    first_day = start.astimezone(zone).date()
    assert (start - MICROSECOND).astimezone(zone).date() < first_day
    match rule.duration.calendar_unit:
        case "w":
            assert first_day.weekday() == 0
        case "M":
            assert first_day.day == 1
        case "Q":
            assert (first_day.day, (first_day.month - rule.quarter_start_month) % 3) == (1, 0)
        case "Y":
            assert (first_day.day, first_day.month) == (1, 1)


@pytest.mark.parametrize(
    ("text", "now", "start", "end"),
    [
        ("1d", "2025-06-15T12:30:00", "2025-06-15", "2025-06-16"),
        ("1d", "2024-02-29T23:59:59.999999", "2024-02-29", "2024-03-01"),
        ("1d", "2025-12-31T23:59:59.999999", "2025-12-31", "2026-01-01"),
        ("1w", "2025-06-15T23:59:59.999999", "2025-06-09", "2025-06-16"),
        ("1w", "2025-06-16T00:00:00", "2025-06-16", "2025-06-23"),
        ("1w", "2025-01-01T00:00:00", "2024-12-30", "2025-01-06"),
        ("1M", "2024-02-29T12:00:00", "2024-02-01", "2024-03-01"),
        ("1M", "2025-02-28T23:59:59.999999", "2025-02-01", "2025-03-01"),
        ("1M", "2025-12-01T00:00:00", "2025-12-01", "2026-01-01"),
        ("1Q", "2025-03-31T23:59:59.999999", "2025-01-01", "2025-04-01"),
        ("1Q", "2025-04-01T00:00:00", "2025-04-01", "2025-07-01"),
        ("1Q", "2025-12-31T00:00:00", "2025-10-01", "2026-01-01"),
        ("1Y", "2024-02-29T00:00:00", "2024-01-01", "2025-01-01"),
        ("1Y", "2025-12-31T23:59:59.999999", "2025-01-01", "2026-01-01"),
        ("monthly", "2025-06-15T12:30:00", "2025-06-01", "2025-07-01"),
    ],
)
def test_calendar_windows_in_utc(text: str, now: str, start: str, end: str) -> None:
    assert window_at(aligned(text), utc(now)) == Window(utc(start), utc(end))


@pytest.mark.parametrize(
    ("start_month", "now", "start", "end"),
    [
        (2, "2025-01-31T23:59:59.999999", "2024-11-01", "2025-02-01"),
        (2, "2025-02-01T00:00:00", "2025-02-01", "2025-05-01"),
        (3, "2024-02-29T12:00:00", "2023-12-01", "2024-03-01"),
        (4, "2025-03-31T00:00:00", "2025-01-01", "2025-04-01"),
        (11, "2025-10-31T00:00:00", "2025-08-01", "2025-11-01"),
        (12, "2025-12-01T00:00:00", "2025-12-01", "2026-03-01"),
        (12, "2026-02-28T00:00:00", "2025-12-01", "2026-03-01"),
    ],
)
def test_a_fiscal_year_s_quarters_begin_with_its_start_month(start_month: int, now: str, start: str, end: str) -> None:
    rule = aligned("1Q", quarter_start_month=start_month)
    assert window_at(rule, utc(now)) == Window(utc(start), utc(end))


@pytest.mark.parametrize(
    ("multiple", "single"), [("7d", "1d"), ("4w", "1w"), ("3M", "1M"), ("2Q", "1Q"), ("10Y", "1Y")]
)
def test_the_multiplier_is_ignored_when_aligned(multiple: str, single: str) -> None:
    now = utc("2025-06-15T12:30:00")
    assert window_at(aligned(multiple), now) == window_at(aligned(single), now)
    assert windows_since(aligned(multiple), ANCHOR, now) == windows_since(aligned(single), ANCHOR, now)


@pytest.mark.parametrize(
    ("time_zone", "now", "start", "end"),
    [
        # The day clocks go forward has 23 hours, the day they go back 25.
        ("Europe/Berlin", "2025-03-30T12:00", "2025-03-29T23:00", "2025-03-30T22:00"),
        ("Europe/Berlin", "2025-10-26T12:00", "2025-10-25T22:00", "2025-10-26T23:00"),
        ("America/New_York", "2025-03-09T12:00", "2025-03-09T05:00", "2025-03-10T04:00"),
        ("America/New_York", "2025-11-02T12:00", "2025-11-02T04:00", "2025-11-03T05:00"),
        # Clocks went from 24:00 to 01:00: a day without midnight begins where the day before ends.
        ("America/Sao_Paulo", "2018-11-04T02:59", "2018-11-03T03:00", "2018-11-04T03:00"),
        ("America/Sao_Paulo", "2018-11-04T03:00", "2018-11-04T03:00", "2018-11-05T02:00"),
        ("Africa/Cairo", "2025-04-25T12:00", "2025-04-24T22:00", "2025-04-25T21:00"),
        # Clocks went from 24:00 to 23:00: the last hour of the day came twice.
        ("America/Sao_Paulo", "2018-02-18T02:30", "2018-02-17T02:00", "2018-02-18T03:00"),
        ("Africa/Cairo", "2025-10-30T20:59", "2025-10-29T21:00", "2025-10-30T22:00"),
        # Clocks went from 01:00 to 00:00: a day with two midnights begins with the first.
        ("America/Havana", "2025-11-02T04:30", "2025-11-02T04:00", "2025-11-03T05:00"),
        ("America/Havana", "2025-11-02T05:30", "2025-11-02T04:00", "2025-11-03T05:00"),
        # A whole day was skipped.
        ("Pacific/Apia", "2011-12-30T09:59", "2011-12-29T10:00", "2011-12-30T10:00"),
        ("Pacific/Apia", "2011-12-30T10:00", "2011-12-30T10:00", "2011-12-31T10:00"),
        ("Asia/Kolkata", "2025-06-15T18:29", "2025-06-14T18:30", "2025-06-15T18:30"),
        ("Asia/Kolkata", "2025-06-15T18:30", "2025-06-15T18:30", "2025-06-16T18:30"),
    ],
)
def test_a_day_is_the_owner_s_day(time_zone: str, now: str, start: str, end: str) -> None:
    assert window_at(aligned("1d", time_zone=time_zone), utc(now)) == Window(utc(start), utc(end))


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("1w", "2025-03-23T23:00", "2025-03-30T22:00"),
        ("1M", "2025-02-28T23:00", "2025-03-31T22:00"),
        ("1Q", "2024-12-31T23:00", "2025-03-31T22:00"),
        ("1Y", "2024-12-31T23:00", "2025-12-31T23:00"),
    ],
)
def test_a_longer_window_spans_the_change_of_clocks(text: str, start: str, end: str) -> None:
    window = window_at(aligned(text, time_zone="Europe/Berlin"), utc("2025-03-30T00:59"))
    assert window == Window(utc(start), utc(end))


def test_a_time_zone_that_is_not_known_here_is_read_as_utc() -> None:
    now = utc("2025-06-15T12:30:00")
    assert window_at(aligned("1d", time_zone="Mars/Olympus_Mons"), now) == window_at(aligned("1d"), now)


@pytest.mark.parametrize(
    ("text", "earlier", "now", "begun"),
    [
        ("1d", "2025-06-15T00:00", "2025-06-15T23:59", 0),
        ("1d", "2024-02-28T23:59", "2024-03-01T00:00", 2),
        ("1w", "2025-06-15T23:59", "2025-06-16T00:00", 1),
        ("1w", "2025-01-01T00:00", "2025-12-31T00:00", 52),
        ("1M", "2024-12-31T00:00", "2026-01-01T00:00", 13),
        ("1Q", "2024-12-31T00:00", "2026-01-01T00:00", 5),
        ("1Y", "2024-12-31T00:00", "2026-01-01T00:00", 2),
    ],
)
def test_windows_since_counts_calendar_windows(text: str, earlier: str, now: str, begun: int) -> None:
    assert windows_since(aligned(text), utc(earlier), utc(now)) == begun


@given(ALIGNED_RULES, INSTANTS, st.integers(0, 20))
def test_windows_since_counts_each_window_once(rule: ResetRule, earlier: datetime, steps: int) -> None:
    now = earlier
    for _ in range(steps):
        now = window_at(rule, now).end
    assert windows_since(rule, earlier, now) == steps
