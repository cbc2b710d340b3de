"""Meters: which stored state still counts."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain.durations import parse_reset_duration
from service.domain.meters import Meter, MeterState, budget_meter_id, requests_meter_id, tokens_meter_id, used_in
from service.domain.windows import ResetRule, to_us, window_at

NOW = datetime(2025, 6, 15, 12, 30, tzinfo=UTC)
METER = Meter("budget:b", 3, ResetRule(parse_reset_duration("1h"), to_us(NOW.replace(minute=0))))
WINDOW = window_at(METER.rule, NOW)


def test_a_state_of_the_current_window_and_epoch_counts() -> None:
    assert used_in(WINDOW, METER, MeterState(3, WINDOW.start, 17)) == 17


@pytest.mark.parametrize("shift_hours", [-1, 1, 14_400])
def test_a_state_of_another_window_reads_as_zero(shift_hours: int) -> None:
    stored = MeterState(3, WINDOW.start + timedelta(hours=shift_hours), 17)
    assert used_in(WINDOW, METER, stored) == 0


@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_a_state_of_another_epoch_reads_as_zero(epoch: int) -> None:
    assert used_in(WINDOW, METER, MeterState(epoch, WINDOW.start, 17)) == 0


def test_a_state_reads_as_zero_from_the_first_instant_of_the_next_window() -> None:
    stored = MeterState(3, WINDOW.start, 17)
    microsecond = timedelta(microseconds=1)
    assert used_in(window_at(METER.rule, WINDOW.end - microsecond), METER, stored) == 17
    assert used_in(window_at(METER.rule, WINDOW.end), METER, stored) == 0


def test_a_limit_s_meters_have_different_ids() -> None:
    assert (budget_meter_id("a:1"), tokens_meter_id("a:1"), requests_meter_id("a:1")) == (
        "budget:a:1",
        "tokens:a:1",
        "requests:a:1",
    )
