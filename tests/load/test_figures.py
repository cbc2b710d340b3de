"""What the bench computes: a wrong ratio would say that a floor holds."""

import pytest

from tests.load.figures import Floor, Sample, Side, Spread, percentile, ratio


def side(*values: float, cpu_share: float | None = None) -> Side:
    return Side("a side", [Sample(value, value / 2, value * 2, cpu_share) for value in values])


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.501, 51), (0.99, 99), (0.999, 100), (1.0, 100)]
)
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(share: float, expected: int) -> None:
    assert percentile(range(1, 101), share) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_ratio_is_of_sides_of_the_same_round() -> None:
    # The machine was ten times slower in the second round: that says nothing about either side.
    assert ratio(side(100, 10, 100), side(200, 20, 50)) == Spread(median=0.5, lowest=0.5, highest=2.0)


def test_sides_of_different_rounds_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio(side(1, 2), side(1))


def test_a_side_is_shown_by_its_median_round() -> None:
    measured = side(1, 2, 9)
    assert (measured.value, measured.p50_ms, measured.p99_ms) == (Spread(2, 1, 9), 1, 4)


def test_processor_time_is_of_each_answer() -> None:
    # Half a core for a thousand answers a second: half a millisecond each.
    assert side(1000, cpu_share=0.5).cpu_ms == 0.5
    assert side(1000).cpu_ms is None


@pytest.mark.parametrize(
    ("floor", "figure", "holds"),
    [
        (Floor(0.8), 0.8, True),
        (Floor(0.8), 0.79, False),
        (Floor(4, "at most"), 4, True),
        (Floor(4, "at most"), 4.1, False),
    ],
)
def test_a_floor_holds_at_its_bound(floor: Floor, figure: float, holds: bool) -> None:
    assert floor.holds(figure) is holds
