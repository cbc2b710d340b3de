"""Rolling windows: a fixed lattice from the anchor on, whatever the calendar says."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from service.domain.durations import LONGEST_US, SHORTEST_US, ResetDuration, parse_reset_duration
from service.domain.windows import ResetRule, from_us, to_us, window_at, windows_since

MICROSECOND = timedelta(microseconds=1)
ANCHOR = datetime(2025, 3, 14, 15, 9, 26, 535_897, tzinfo=UTC)
INSTANTS = st.integers(to_us(datetime(2000, 1, 1, tzinfo=UTC)), to_us(datetime(2100, 1, 1, tzinfo=UTC))).map(from_us)
ROLLING_RULES = st.builds(
    ResetRule,
    duration=st.builds(ResetDuration, st.integers(SHORTEST_US, LONGEST_US), st.none()),
    anchored_us=INSTANTS.map(to_us),
    calendar_aligned=st.booleans(),
    time_zone=st.sampled_from(["UTC", "America/Sao_Paulo"]),
)


def rule_of(text: str, *, calendar_aligned: bool = False) -> ResetRule:
    return ResetRule(parse_reset_duration(text), to_us(ANCHOR), calendar_aligned)


@given(ROLLING_RULES, INSTANTS)
def test_a_window_holds_the_instant_it_was_asked_for(rule: ResetRule, now: datetime) -> None:
    window = window_at(rule, now)
    assert window.start <= now < window.end


@given(ROLLING_RULES, INSTANTS)
def test_windows_follow_one_another_without_gap_or_overlap(rule: ResetRule, now: datetime) -> None:
    window = window_at(rule, now)
    assert window_at(rule, window.start) == window
    assert window_at(rule, window.end).start == window.end
    assert window_at(rule, window.start - MICROSECOND).end == window.start


@given(ROLLING_RULES, INSTANTS)
def test_windows_lie_on_the_lattice_of_the_anchor(rule: ResetRule, now: datetime) -> None:
    length = timedelta(microseconds=rule.duration.length_us)
    window = window_at(rule, now)
    assert window.end - window.start == length
    assert (window.start - from_us(rule.anchored_us)) % length == timedelta(0)


@pytest.mark.parametrize("text", ["1s", "1m", "1h30m", "1d", "1w", "1M", "1Q", "1Y"])
def test_a_window_begins_and_ends_at_the_microsecond(text: str) -> None:
    rule = rule_of(text)
    length = timedelta(microseconds=rule.duration.length_us)
    assert window_at(rule, ANCHOR).start == ANCHOR
    assert window_at(rule, ANCHOR + length - MICROSECOND).start == ANCHOR
    assert window_at(rule, ANCHOR + length).start == ANCHOR + length
    assert window_at(rule, ANCHOR - MICROSECOND).start == ANCHOR - length


def test_a_limit_idle_for_14_400_windows_is_one_step_behind() -> None:
    rule = rule_of("1m")
    now = ANCHOR + 14_400 * timedelta(minutes=1) + timedelta(seconds=59)
    assert window_at(rule, now).start == ANCHOR + 14_400 * timedelta(minutes=1)
    assert windows_since(rule, ANCHOR, now) == 14_400


def test_a_limit_idle_for_three_billion_windows_is_one_step_behind() -> None:
    rule = rule_of("1s")
    now = ANCHOR + timedelta(days=36_500)
    assert window_at(rule, now).start == now
    assert windows_since(rule, ANCHOR, now) == 36_500 * 86_400


@given(ROLLING_RULES, INSTANTS, INSTANTS)
def test_windows_since_counts_the_windows_begun_in_between(rule: ResetRule, one: datetime, other: datetime) -> None:
    earlier, later = min(one, other), max(one, other)
    begun = windows_since(rule, earlier, later)
    length = timedelta(microseconds=rule.duration.length_us)
    assert begun >= 0
    assert window_at(rule, earlier).start + begun * length == window_at(rule, later).start


def test_windows_since_changes_at_the_microsecond_a_window_begins() -> None:
    rule, begins = rule_of("1h"), ANCHOR + timedelta(hours=1)
    assert windows_since(rule, ANCHOR, begins - MICROSECOND) == 0
    assert windows_since(rule, ANCHOR, begins) == 1
    assert windows_since(rule, begins - MICROSECOND, begins) == 1


@pytest.mark.parametrize("text", ["30s", "1h", "24h", "720h"])
def test_durations_without_a_calendar_unit_stay_rolling_when_aligned(text: str) -> None:
    now = ANCHOR + timedelta(days=100, hours=7)
    assert window_at(rule_of(text, calendar_aligned=True), now) == window_at(rule_of(text), now)


@pytest.mark.parametrize(("text", "days"), [("3d", 3), ("2w", 14), ("3M", 90), ("1Q", 90), ("2Y", 730)])
def test_the_multiplier_counts_when_not_aligned(text: str, days: int) -> None:
    window = window_at(rule_of(text), ANCHOR)
    assert window.end - window.start == timedelta(days=days)


@given(INSTANTS)
def test_an_instant_travels_as_microseconds_and_comes_back(instant: datetime) -> None:
    assert from_us(to_us(instant)) == instant
    assert to_us(instant + MICROSECOND) == to_us(instant) + 1
