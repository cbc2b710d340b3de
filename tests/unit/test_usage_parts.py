"""Parts of time: they cover what was asked for once, cut where the calendar does."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from service.domain.usage_parts import HOUR, Hours, Interval, Part, parts_of, whole_hours

FIRST = datetime(2023, 12, 1, tzinfo=UTC)
HOURS = st.builds(
    lambda start, length: Hours(FIRST + start * HOUR, FIRST + (start + length) * HOUR),
    st.integers(0, 24 * 120),
    st.integers(1, 24 * 100),
)
INTERVALS = st.sampled_from([None, "hour", "day", "month"])


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@given(HOURS, INTERVALS)
def test_parts_follow_each_other_from_the_start_to_the_end(hours: Hours, interval: Interval | None) -> None:
    parts = parts_of(hours, interval)
    assert [part.from_hour for part in parts] == [hours.start, *(part.to_hour for part in parts[:-1])]
    assert parts[-1].to_hour == hours.end


@given(HOURS, INTERVALS)
def test_each_part_is_hours_whole_days_and_hours(hours: Hours, interval: Interval | None) -> None:
    for part in parts_of(hours, interval):
        assert part.from_hour <= part.from_midnight <= part.to_midnight <= part.to_hour
        if part.from_midnight < part.to_midnight:
            assert {part.from_midnight.hour, part.to_midnight.hour} == {0}
            assert part.from_midnight - part.from_hour < 24 * HOUR
            assert part.to_hour - part.to_midnight < 24 * HOUR


@given(HOURS, st.sampled_from(["hour", "day", "month"]))
def test_a_part_is_within_one_hour_day_or_month(hours: Hours, interval: Interval) -> None:
    named = {"hour": "%Y-%m-%d %H", "day": "%Y-%m-%d", "month": "%Y-%m"}[interval]
    names = [
        {instant.strftime(named) for instant in (part.from_hour, part.to_hour - timedelta(microseconds=1))}
        for part in parts_of(hours, interval)
    ]
    assert all(len(name) == 1 for name in names)
    assert len(set(map(frozenset, names))) == len(names)


def test_a_leap_february_is_one_month() -> None:
    parts = parts_of(Hours(at("2024-01-31T12:00"), at("2024-03-01T05:00")), "month")
    assert parts == [
        Part(at("2024-01-31T12:00"), at("2024-02-01T00:00"), at("2024-02-01T00:00"), at("2024-02-01T00:00")),
        Part(at("2024-02-01T00:00"), at("2024-02-01T00:00"), at("2024-03-01T00:00"), at("2024-03-01T00:00")),
        Part(at("2024-03-01T00:00"), at("2024-03-01T05:00"), at("2024-03-01T05:00"), at("2024-03-01T05:00")),
    ]


def test_no_time_has_no_parts() -> None:
    assert parts_of(Hours(FIRST, FIRST), "day") == []


@pytest.mark.parametrize(
    ("from_at", "to_at", "start", "end"),
    [
        ("2026-01-01T10:00", "2026-01-01T12:00", "2026-01-01T10:00", "2026-01-01T12:00"),
        ("2026-01-01T10:59:59", "2026-01-01T12:00:00.000001", "2026-01-01T10:00", "2026-01-01T13:00"),
        ("0001-01-01T00:00", "9999-12-31T23:59", "1970-01-01T00:00", "9000-01-01T00:00"),
    ],
)
def test_an_hour_that_is_touched_counts_whole(from_at: str, to_at: str, start: str, end: str) -> None:
    assert whole_hours(at(from_at), at(to_at)) == Hours(at(start), at(end))
