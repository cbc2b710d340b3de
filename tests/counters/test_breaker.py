"""The breaker: after a few failures in a row only probes go through, until one succeeds."""

import pytest

from service.counters.breaker import FAILURES_TO_OPEN, PROBE_INTERVAL_SECONDS, Breaker, BreakerOpenError


class Monotonic:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def breaker(monotonic: Monotonic) -> Breaker:
    return Breaker(monotonic)


def succeed(breaker: Breaker) -> None:
    with breaker.guard():
        pass


def fail(breaker: Breaker) -> None:
    with pytest.raises(OSError, match="lost"), breaker.guard():
        raise OSError("lost")


def open_it(breaker: Breaker) -> None:
    for _ in range(FAILURES_TO_OPEN):
        fail(breaker)


def test_it_opens_after_failures_in_a_row(breaker: Breaker) -> None:
    for _ in range(FAILURES_TO_OPEN - 1):
        fail(breaker)
        assert not breaker.is_open
    fail(breaker)
    assert breaker.is_open
    with pytest.raises(BreakerOpenError):
        succeed(breaker)


def test_a_success_in_between_starts_the_count_anew(breaker: Breaker) -> None:
    for _ in range(5):
        for _ in range(FAILURES_TO_OPEN - 1):
            fail(breaker)
        succeed(breaker)
    assert not breaker.is_open


def test_while_open_one_probe_goes_through_in_each_interval(breaker: Breaker, monotonic: Monotonic) -> None:
    open_it(breaker)
    for _ in range(5):
        with pytest.raises(BreakerOpenError):
            succeed(breaker)
        monotonic.seconds += PROBE_INTERVAL_SECONDS
        fail(breaker)
    assert breaker.is_open


def test_while_a_probe_is_under_way_nobody_else_goes_through(breaker: Breaker, monotonic: Monotonic) -> None:
    open_it(breaker)
    monotonic.seconds += PROBE_INTERVAL_SECONDS
    with breaker.guard(), pytest.raises(BreakerOpenError):
        succeed(breaker)
    assert not breaker.is_open


def test_a_probe_that_succeeds_closes_it(breaker: Breaker, monotonic: Monotonic) -> None:
    open_it(breaker)
    monotonic.seconds += PROBE_INTERVAL_SECONDS
    succeed(breaker)
    assert not breaker.is_open
    fail(breaker)
    succeed(breaker)


def test_refused_calls_are_not_counted_as_failures(breaker: Breaker, monotonic: Monotonic) -> None:
    open_it(breaker)
    for _ in range(100):
        with pytest.raises(BreakerOpenError):
            succeed(breaker)
    monotonic.seconds += PROBE_INTERVAL_SECONDS
    succeed(breaker)
    assert not breaker.is_open


def test_calls_that_were_under_way_when_it_opened_change_nothing_by_failing(
    breaker: Breaker, monotonic: Monotonic
) -> None:
    def open_while_under_way() -> None:
        with breaker.guard():
            open_it(breaker)
            monotonic.seconds += PROBE_INTERVAL_SECONDS / 2
            raise OSError("late")

    with pytest.raises(OSError, match="late"):
        open_while_under_way()
    monotonic.seconds += PROBE_INTERVAL_SECONDS / 2
    succeed(breaker)
    assert not breaker.is_open
