"""Reset durations, as Python reads them; `tests/store/test_words.py` holds SQL to the same table."""

import pytest
from hypothesis import given, strategies as st

from service.domain.durations import LONGEST_US, SHORTEST_US, ResetDuration, parse_reset_duration
from tests.unit.duration_grammar import ACCEPTED, REFUSED


@pytest.mark.parametrize("text", ACCEPTED)
def test_the_wire_s_durations_are_understood(text: str) -> None:
    length_us, calendar_unit = ACCEPTED[text]
    assert parse_reset_duration(text) == ResetDuration(length_us, calendar_unit)  # type: ignore[arg-type]  # a table


@pytest.mark.parametrize("text", REFUSED)
def test_anything_else_is_refused_saying_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="use a duration from 1s to 10Y such as 30s, 1h30m, 1d"):
        parse_reset_duration(text)


def test_m_is_a_minute_and_capital_m_is_a_month() -> None:
    assert parse_reset_duration("1m").calendar_unit is None
    assert parse_reset_duration("1M").length_us == 30 * 24 * 60 * parse_reset_duration("1m").length_us


@given(st.integers(SHORTEST_US, LONGEST_US))
def test_every_length_within_the_bounds_can_be_said_exactly(length_us: int) -> None:
    assert parse_reset_duration(f"{length_us}us").length_us == length_us
    assert parse_reset_duration(f"{length_us // 10**6}.{length_us % 10**6:06}s").length_us == length_us


@given(st.integers(0, SHORTEST_US - 1) | st.integers(LONGEST_US + 1, LONGEST_US * 100))
def test_lengths_beyond_the_bounds_are_refused(length_us: int) -> None:
    with pytest.raises(ValueError, match="from 1s to 10Y"):
        parse_reset_duration(f"{length_us}us")


@given(st.text(alphabet="0123456789.nuµmshdwMQY", max_size=60) | st.text(max_size=60))
def test_any_text_is_a_bounded_duration_or_refused(text: str) -> None:
    try:
        duration = parse_reset_duration(text)
    except ValueError:
        return
    assert SHORTEST_US <= duration.length_us <= LONGEST_US
