"""Choosing a provider: by weight, and past the limits that have no room."""

from collections import Counter

from hypothesis import given, strategies as st

from service.domain.decisions import Standing, refusal_of
from service.domain.policy import Limit
from service.governance.admission.choose import first_without_room, in_turn
from tests.unit.policies import NOW_US, access, limit

weights = st.none() | st.floats(0, 1e9, allow_nan=False)


def standing(of: Limit, used: int, held: int, requested: int | None) -> Standing:
    return Standing(of, used, held, requested, of.max, of.window_at(NOW_US)[1])


@given(st.lists(weights, max_size=6), st.floats(0, 1, exclude_max=True))
def test_each_provider_has_its_turn_once_and_those_without_weight_come_last(
    of: list[float | None], draw: float
) -> None:
    providers = [access(f"p{number}", weight) for number, weight in enumerate(of)]
    order = in_turn(providers, lambda: draw)
    assert sorted(each.provider for each in order) == sorted(each.provider for each in providers)
    weighted = [bool(each.weight) for each in order]
    if len(providers) > 1:
        assert weighted == sorted(weighted, reverse=True)
        rest = [each.weight or 0 for each in order[1:] if each.weight]
        assert rest == sorted(rest, reverse=True)


def test_a_provider_is_drawn_as_often_as_its_weight_says() -> None:
    providers = [access("one", 1), access("three", 3), access("none", None), access("zero", 0)]
    drawn = Counter(in_turn(providers, lambda place=place: place / 1000)[0].provider for place in range(1000))  # type: ignore[misc]
    assert drawn == {"one": 250, "three": 750}
    assert [each.provider for each in in_turn(providers[2:], lambda: 0.5)] == ["none", "zero"]


def test_the_first_limit_without_room_is_found_at_what_the_call_costs_there() -> None:
    budget, tokens, shadow = limit("b"), limit("t", "tokens"), limit("s", shadow=True)
    standings = [standing(budget, 4, 3, 9), standing(tokens, 5, 5, None), standing(shadow, 99, 0, 1)]
    path = (shadow, budget, tokens)
    assert first_without_room((shadow, budget), standings, cost_nanousd=3) is None
    assert first_without_room((shadow, budget), standings, cost_nanousd=4) is budget
    assert first_without_room((shadow, budget), standings, cost_nanousd=None) is None
    assert first_without_room(path, standings, cost_nanousd=1) is tokens
    assert first_without_room((limit("unknown", most=0),), standings, cost_nanousd=1) is None
    full = [standing(budget, 10, 0, None)]
    assert first_without_room(path, full, cost_nanousd=None) is budget


def test_the_decision_is_of_the_first_holder_that_refuses_rates_before_parallel_calls_before_budgets() -> None:
    tokens, requests = standing(limit("r", "tokens"), 9, 0, 2), standing(limit("r", "requests"), 10, 0, 1)
    parallel, budget = standing(limit("p", "parallel"), 0, 10, 1), standing(limit("b"), 10, 0, None)
    for violated, decision in (
        ([budget, parallel, requests, tokens], "rate_limited"),
        ([budget, parallel, requests], "request_limited"),
        ([tokens, budget], "token_limited"),
        ([budget, parallel], "parallel_limited"),
        ([budget], "budget_exceeded"),
    ):
        assert refusal_of(violated).decision == decision


amounts = st.integers(0, 2**63)


@given(used=amounts, held=amounts, requested=st.none() | amounts, most=amounts)
def test_a_limit_is_violated_by_one_more_than_it_has(used: int, held: int, requested: int | None, most: int) -> None:
    found = standing(limit("b", most=most), used, held, requested)
    left = most - used - held
    assert found.is_violated == (left < requested if requested is not None else left <= 0)
