"""Explanations: counts that differ are told apart by what may have happened."""

import pytest
from hypothesis import given, strategies as st

from service.domain.explanations import SAYS, Circumstances, Counts, Reason, differences, is_accounted

USUAL = Circumstances(is_short=False, may_be_dropped=False, redis_answers=True)
SHORT = Circumstances(is_short=True, may_be_dropped=False, redis_answers=True)
OLD = Circumstances(is_short=False, may_be_dropped=True, redis_answers=True)
ALONE = Circumstances(is_short=False, may_be_dropped=False, redis_answers=False)


def counts(ledger: int | None, carried: int, window_total: int, live: int | None) -> Counts:
    return Counts(ledger=ledger, events=1 if ledger else 0, carried=carried, window_total=window_total, live=live)


@pytest.mark.parametrize(
    ("counted", "circumstances", "expected"),
    [
        (counts(5, 2, 7, 7), USUAL, []),
        (counts(0, 0, 0, None), USUAL, []),
        (counts(5, 0, 7, 7), USUAL, [("events_missing", -2)]),
        (counts(5, 0, 7, 7), OLD, [("events_dropped", -2)]),
        (counts(9, 0, 7, 7), OLD, [("total_behind", 2)]),
        (counts(5, 4, 7, 7), USUAL, [("total_behind", 2)]),
        (counts(7, 0, 7, None), USUAL, [("cold", -7)]),
        (counts(7, 0, 7, None), ALONE, [("redis_unavailable", -7)]),
        (counts(7, 0, 7, 4), USUAL, [("not_merged", -3)]),
        (counts(7, 0, 7, 9), USUAL, [("live_ahead", 2)]),
        (counts(None, 0, 7, 7), USUAL, [("too_many_events", 0)]),
        (counts(5, 0, 7, 9), USUAL, [("events_missing", -2), ("live_ahead", 2)]),
        (counts(0, 0, 0, 7), SHORT, [("live_only", 7)]),
        (counts(0, 0, 0, None), SHORT, []),
        (counts(7, 0, 7, 9), SHORT, [("live_ahead", 2)]),
    ],
)
def test_a_difference_has_its_reason(
    counted: Counts, circumstances: Circumstances, expected: list[tuple[Reason, int]]
) -> None:
    assert [(each.reason, each.amount) for each in differences(counted, circumstances)] == expected


AMOUNTS = st.integers(0, 5)


@given(AMOUNTS, AMOUNTS, AMOUNTS, st.none() | AMOUNTS, st.sampled_from([USUAL, SHORT, OLD, ALONE]))
def test_there_is_a_difference_exactly_where_counts_differ(
    ledger: int, carried: int, window_total: int, live: int | None, circumstances: Circumstances
) -> None:
    found = differences(counts(ledger, carried, window_total, live), circumstances)
    amounts = {each.between: each.amount for each in found}
    if "live_only" in (each.reason for each in found):
        assert (ledger, window_total) == (0, 0)
    else:
        assert amounts.get("live, window_total", 0) == (live or 0) - window_total
        if not (circumstances.is_short and not ledger and not window_total):
            assert amounts.get("ledger, window_total", 0) == ledger + carried - window_total


def test_only_what_should_never_be_is_unaccounted() -> None:
    reasons = {each.reason for each in differences(counts(5, 0, 7, 4), OLD)}
    assert reasons == {"events_dropped", "not_merged"}
    assert is_accounted(differences(counts(5, 0, 7, 4), OLD))
    assert not is_accounted(differences(counts(5, 0, 7, 4), USUAL))
    assert set(SAYS) == set(Reason.__args__)  # type: ignore[attr-defined]  # a Literal's
