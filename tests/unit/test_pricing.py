"""What calls cost, to the nano-dollar: known figures, and which override holds."""

from typing import Any

import pytest

from service.domain.inputs.pricing import SCOPE_IDS
from service.domain.price_fields import PRICE_FIELDS
from service.domain.pricing import (
    SCOPES,
    TOKEN_PRICES,
    PricedCall,
    Prices,
    PricingOverride,
    ScopeKind,
    Tokens,
    cost_nanousd,
    price_nanousd,
    prices_for,
)

# 2.50 and 10 USD per million tokens, cached 1.25.
GPT = Prices(input_nanousd=2_500_000_000, output_nanousd=10_000_000_000, cached_input_nanousd=1_250_000_000)
CALL = PricedCall(
    model="gpt-4o",
    provider_id="openai",
    provider_key_id="pk",
    virtual_key_id="vk",
    user_id="u",
    request_type="chat_completion",
)


def override(override_id: str = "a", **fields: Any) -> PricingOverride:
    """Sets input to `usd`; for every call of gpt-4o unless told."""
    usd = fields.pop("usd", 1e-6)
    defaults = {"scope_kind": "global", "match_type": "exact", "pattern": "gpt-4o"}
    return PricingOverride(id=override_id, patch={"input_cost_per_token": usd}, **(defaults | fields))


def of_kind(kind: ScopeKind, **fields: Any) -> PricingOverride:
    return override(kind, scope_kind=kind, **{name: getattr(CALL, name) for name in SCOPES[kind]}, **fields)


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [
        (Tokens(), 0),
        (Tokens(input_tokens=1_000_000, output_tokens=1_000_000), 12_500_000_000),
        (Tokens(input_tokens=1000, output_tokens=500), 7_500_000),
        (Tokens(input_tokens=1000, cached_input_tokens=400, output_tokens=500), 7_000_000),
        (Tokens(input_tokens=1000, cached_input_tokens=1000), 1_250_000),
        (Tokens(input_tokens=100, cached_input_tokens=1000), 1_250_000),
        (Tokens(input_tokens=1000, cache_creation_tokens=1000), 2_500_000),
        (Tokens(input_tokens=10**12), 2_500_000_000_000_000),
    ],
)
def test_a_call_costs_its_tokens_times_their_prices(tokens: Tokens, cost: int) -> None:
    assert cost_nanousd(GPT, tokens) == cost


@pytest.mark.parametrize(
    ("price", "tokens", "cost"),
    [(500_000, 1, 0), (500_000, 3, 2), (500_001, 1, 1), (499_999, 1, 0), (1_500_000, 1, 2), (2_500_000, 1, 2)],
)
def test_halves_are_rounded_to_even_and_only_once(price: int, tokens: int, cost: int) -> None:
    assert cost_nanousd(Prices(input_nanousd=price), Tokens(input_tokens=tokens)) == cost
    in_and_out = Prices(input_nanousd=price, output_nanousd=price)
    assert cost_nanousd(in_and_out, Tokens(input_tokens=1, output_tokens=1)) == cost_nanousd(
        Prices(input_nanousd=price), Tokens(input_tokens=2)
    )


def test_a_batch_has_prices_of_its_own_where_there_are_any() -> None:
    tokens = Tokens(input_tokens=1_000_000, output_tokens=1_000_000, cached_input_tokens=0)
    batches = Prices(input_nanousd=100, input_batches_nanousd=50, output_nanousd=10)
    assert cost_nanousd(batches, tokens, batch=True) == 60
    assert cost_nanousd(batches, tokens) == 110


@pytest.mark.parametrize("tokens", [Tokens(output_tokens=1), Tokens(input_tokens=1, output_tokens=1)])
def test_a_call_with_tokens_without_a_price_has_no_cost(tokens: Tokens) -> None:
    assert cost_nanousd(Prices(input_nanousd=1), tokens) is None
    assert cost_nanousd(Prices(input_nanousd=1, output_nanousd=0), tokens) == 0


@pytest.mark.parametrize(
    ("usd_per_token", "price"),
    [(0, 0), (1e-6, 10**9), (2.5e-7, 250_000_000), (1.25e-05, 12_500_000_000), (3e-15, 3), (5e-16, 0), (1000, 10**18)],
)
def test_a_price_is_read_as_it_was_written(usd_per_token: float, price: int) -> None:
    assert price_nanousd(usd_per_token) == price


@pytest.mark.parametrize("usd_per_token", [-1e-6, 1000.1, float("nan"), float("inf")])
def test_what_is_no_price_is_refused(usd_per_token: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1000"):
        price_nanousd(usd_per_token)


def test_without_an_override_the_base_prices_hold() -> None:
    assert prices_for(CALL, GPT, []) == GPT
    assert prices_for(CALL, None, []) is None


def test_an_override_replaces_only_the_prices_it_names() -> None:
    patch = {"output_cost_per_token": 0.0, "cache_read_input_token_cost": 1e-7, "output_cost_per_image": 5.0}
    free_output = PricingOverride(id="a", scope_kind="global", match_type="exact", pattern="gpt-4o", patch=patch)
    expected = Prices(input_nanousd=2_500_000_000, output_nanousd=0, cached_input_nanousd=100_000_000)
    assert prices_for(CALL, GPT, [free_output]) == expected
    assert prices_for(CALL, None, [override()]) == Prices(input_nanousd=10**9)


def test_the_most_specific_scope_holds_the_virtual_key_s_before_the_user_s() -> None:
    kinds: list[ScopeKind] = list(SCOPES)
    expected = ["virtual_key_provider_key", "virtual_key_provider", "virtual_key"]
    expected += ["user_provider_key", "user_provider", "user", "provider_key", "provider", "global"]
    assert kinds == expected
    overrides = [of_kind(kind, usd=rank * 1e-6) for rank, kind in enumerate(kinds)]
    for rank in range(len(kinds)):
        prices = prices_for(CALL, GPT, reversed(overrides[rank:]))
        assert prices is not None
        assert prices.input_nanousd == rank * 10**9


@pytest.mark.parametrize("kind", [kind for kind, ids in SCOPES.items() if ids])
def test_an_override_of_anyone_else_does_not_hold(kind: ScopeKind) -> None:
    for name in SCOPES[kind]:
        others = {one: "another" if one == name else getattr(CALL, one) for one in SCOPES[kind]}
        assert prices_for(CALL, GPT, [override(scope_kind=kind, **others)]) == GPT


@pytest.mark.parametrize(
    ("wins", "loses"),
    [
        ({}, {"match_type": "wildcard", "pattern": "gpt-4o*"}),
        ({"match_type": "wildcard", "pattern": "gpt-4*"}, {"match_type": "wildcard", "pattern": "gpt-*"}),
        ({"request_types": ("chat_completion",)}, {}),
        ({"override_id": "a"}, {"override_id": "b"}),
    ],
)
def test_in_one_scope_the_closer_match_holds(wins: dict[str, Any], loses: dict[str, Any]) -> None:
    best, other = override(**({"override_id": "z"} | wins), usd=3e-6), override(**({"override_id": "c"} | loses))
    for overrides in ([best, other], [other, best]):
        prices = prices_for(CALL, GPT, overrides)
        assert prices is not None
        assert prices.input_nanousd == 3 * 10**9


@pytest.mark.parametrize(
    "fields",
    [
        {"pattern": "gpt-4"},
        {"match_type": "wildcard", "pattern": "gpt-4o-*"},
        {"request_types": ("embedding",)},
    ],
)
def test_an_override_of_other_models_or_requests_does_not_hold(fields: dict[str, Any]) -> None:
    assert prices_for(CALL, GPT, [override(**fields)]) == GPT


def test_the_tables_of_names_agree() -> None:
    assert TOKEN_PRICES.keys() <= PRICE_FIELDS
    assert set(TOKEN_PRICES.values()) == set(Prices.__struct_fields__)
    assert {name for ids in SCOPES.values() for name in ids} == set(SCOPE_IDS)
