"""Money: integer nano-dollars inside, JSON numbers in USD at the edge."""

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from service.domain.money import MAX_LIMIT_USD, nanousd_to_json, nanousd_to_usd, usd_to_nanousd

ANY_LIMIT_NANOUSD = st.integers(0, int(MAX_LIMIT_USD) * 10**9)
NINE_MILLION_USD = 9_000_000


@given(st.integers(0, 10**6 * 10**9))
def test_an_amount_of_one_call_survives_the_wire_to_the_nano_dollar(amount_nanousd: int) -> None:
    assert usd_to_nanousd(nanousd_to_usd(amount_nanousd)) == amount_nanousd


@pytest.mark.parametrize("amount_nanousd", [4_275_250_702_722_059, 7_999_999_738_842_681])
def test_an_amount_up_to_eight_million_dollars_survives_the_wire(amount_nanousd: int) -> None:
    assert usd_to_nanousd(nanousd_to_usd(amount_nanousd)) == amount_nanousd


@given(ANY_LIMIT_NANOUSD)
def test_the_json_literal_is_exact_at_any_size(amount_nanousd: int) -> None:
    literal = nanousd_to_json(amount_nanousd)
    assert Decimal(literal.decode()) == Decimal(amount_nanousd).scaleb(-9)
    assert json.loads(literal) == nanousd_to_usd(amount_nanousd)


@pytest.mark.parametrize(
    ("amount_nanousd", "literal"),
    [
        (0, b"0"),
        (1, b"0.000000001"),
        (10, b"0.00000001"),
        (1_500_000_000, b"1.5"),
        (10_000_000_000, b"10"),
        (9_000_000_000_000_000_001, b"9000000000.000000001"),
    ],
)
def test_the_json_literal_is_short(amount_nanousd: int, literal: bytes) -> None:
    assert nanousd_to_json(amount_nanousd) == literal


@pytest.mark.parametrize(
    ("amount_usd", "amount_nanousd"),
    [
        (0, 0),
        (-0.0, 0),
        (0.1 + 0.2, 300_000_000),
        (1e-10, 0),
        (0.5e-9, 0),
        (1.5e-9, 2),
        (2.5e-9, 2),
        (MAX_LIMIT_USD, 9 * 10**18),
    ],
)
def test_an_amount_is_rounded_to_the_nearest_nano_dollar_half_to_even(amount_usd: float, amount_nanousd: int) -> None:
    assert usd_to_nanousd(amount_usd) == amount_nanousd


@pytest.mark.parametrize("amount_usd", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_no_amount(amount_usd: float) -> None:
    with pytest.raises(ValueError, match="must be a finite number"):
        usd_to_nanousd(amount_usd)


@pytest.mark.parametrize("amount_usd", [-1e-9, -1, math.nextafter(MAX_LIMIT_USD, math.inf), 1e300])
def test_negatives_and_amounts_beyond_64_bits_are_refused(amount_usd: float) -> None:
    with pytest.raises(ValueError, match="must be between 0 and 9000000000 US dollars"):
        usd_to_nanousd(amount_usd)


@given(st.floats(0, MAX_LIMIT_USD))
def test_every_accepted_amount_fits_a_signed_64_bit_integer(amount_usd: float) -> None:
    assert 0 <= usd_to_nanousd(amount_usd) < 2**63
