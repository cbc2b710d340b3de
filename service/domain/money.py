"""Money is an integer number of nano-dollars (1e-9 USD); on the wire, and only there, a JSON number in USD."""

import math
from decimal import ROUND_HALF_EVEN, Decimal

NANOUSD_PER_USD = 1_000_000_000

# The largest limit: nano-dollars must fit a signed 64-bit integer, with room for a sum (9e9 USD of 9.22e9).
MAX_LIMIT_USD = 9e9

# Below a thousand dollars a product is off by less than a thousandth of a nano-dollar: what is near a whole number is
# that number.
_SURELY_NEAR = 1e12
_NEAR = 1e-3

# The most that one call can cost: sums of many must fit as well.
MAX_CALL_NANOUSD = 1_000_000 * NANOUSD_PER_USD


def usd_to_nanousd(amount_usd: float) -> int:
    """Convert an amount from the wire, rounding half to even.

    Raises ValueError for NaN, infinities, negatives and more than `MAX_LIMIT_USD`.
    """
    if not math.isfinite(amount_usd):
        raise ValueError("must be a finite number")
    if not 0 <= amount_usd <= MAX_LIMIT_USD:
        raise ValueError(f"must be between 0 and {MAX_LIMIT_USD:.0f} US dollars")
    nanousd = amount_usd * NANOUSD_PER_USD
    if nanousd < _SURELY_NEAR and abs(nanousd - round(nanousd)) < _NEAR:
        return round(nanousd)
    # The number as it was written: its product as a double would be off by a nano-dollar from four million dollars on.
    return int((Decimal(repr(amount_usd)) * NANOUSD_PER_USD).to_integral_value(ROUND_HALF_EVEN))


def nanousd_to_usd(amount_nanousd: int) -> float:
    """The nearest double, exact to the nano-dollar up to eight million dollars."""
    return amount_nanousd / NANOUSD_PER_USD


def nanousd_to_json(amount_nanousd: int) -> bytes:
    """The JSON literal in USD, exact at any size: 1_500_000_000 is `1.5`."""
    dollars, rest_nanousd = divmod(amount_nanousd, NANOUSD_PER_USD)
    if not rest_nanousd:
        return b"%d" % dollars
    return (b"%d.%09d" % (dollars, rest_nanousd)).rstrip(b"0")
