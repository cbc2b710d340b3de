"""What a call costs: the prices that hold for it, times its tokens, in integer nano-dollars.

Prices are nano-dollars per million tokens; where one is not set it is None.
"""

import math
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

import msgspec

TOKENS_PER_PRICE = 1_000_000
# So that the price of a million tokens fits a signed 64-bit integer of nano-dollars.
MAX_UNIT_PRICE_USD = 1000
_NANOUSD_PER_MILLION = Decimal(10**15)

ScopeKind = Literal[
    "virtual_key_provider_key",
    "virtual_key_provider",
    "virtual_key",
    "user_provider_key",
    "user_provider",
    "user",
    "provider_key",
    "provider",
    "global",
]
MatchType = Literal["exact", "wildcard"]
RequestType = Literal[
    "chat_completion",
    "text_completion",
    "responses",
    "embedding",
    "rerank",
    "speech",
    "transcription",
    "image_generation",
    "image_variation",
    "image_edit",
    "video_generation",
    "video_remix",
]

# The ids each kind of scope has, the most specific kind first.
SCOPES: dict[ScopeKind, tuple[str, ...]] = {
    "virtual_key_provider_key": ("virtual_key_id", "provider_id", "provider_key_id"),
    "virtual_key_provider": ("virtual_key_id", "provider_id"),
    "virtual_key": ("virtual_key_id",),
    "user_provider_key": ("user_id", "provider_id", "provider_key_id"),
    "user_provider": ("user_id", "provider_id"),
    "user": ("user_id",),
    "provider_key": ("provider_key_id",),
    "provider": ("provider_id",),
    "global": (),
}
_RANKS = {kind: rank for rank, kind in enumerate(SCOPES)}


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """Of one model, in nano-dollars per million tokens."""

    input_nanousd: int | None = None
    output_nanousd: int | None = None
    cached_input_nanousd: int | None = None
    cache_creation_nanousd: int | None = None
    input_batches_nanousd: int | None = None
    output_batches_nanousd: int | None = None


class ModelPrice(msgspec.Struct, frozen=True, kw_only=True):
    """The base prices of one provider's model; `mode` is what it does, such as chat or embedding."""

    provider: str
    model: str
    mode: str = ""
    prices: Prices


# The names price files and overrides have for them.
TOKEN_PRICES = {
    "input_cost_per_token": "input_nanousd",
    "output_cost_per_token": "output_nanousd",
    "cache_read_input_token_cost": "cached_input_nanousd",
    "cache_creation_input_token_cost": "cache_creation_nanousd",
    "input_cost_per_token_batches": "input_batches_nanousd",
    "output_cost_per_token_batches": "output_batches_nanousd",
}


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Of one call; cached and cache creation tokens are among the input tokens."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_creation_tokens: int = 0


class PricedCall(msgspec.Struct, frozen=True, kw_only=True):
    """What prices depend on; an id that is not known is None."""

    model: str
    provider_id: str | None = None
    provider_key_id: str | None = None
    virtual_key_id: str | None = None
    user_id: str | None = None
    request_type: str | None = None
    batch: bool = False


class PricingOverride(msgspec.Struct, frozen=True, kw_only=True):
    """Prices for some models and callers; `patch` holds US dollars per unit by the names of `PRICE_FIELDS`."""

    id: str
    scope_kind: ScopeKind
    match_type: MatchType
    pattern: str
    user_id: str | None = None
    virtual_key_id: str | None = None
    provider_id: str | None = None
    provider_key_id: str | None = None
    request_types: tuple[str, ...] = ()
    patch: Mapping[str, float] = {}


def cost_nanousd(prices: Prices, tokens: Tokens, *, batch: bool = False) -> int | None:
    """Rounded once, half to even. None when a price that it takes is not known.

    Cached tokens without a price of their own cost what input costs, batches what other calls cost.
    """
    input_price = _first(prices.input_batches_nanousd if batch else None, prices.input_nanousd)
    output_price = _first(prices.output_batches_nanousd if batch else None, prices.output_nanousd)
    plain_tokens = max(tokens.input_tokens - tokens.cached_input_tokens - tokens.cache_creation_tokens, 0)
    parts = (
        (plain_tokens, input_price),
        (tokens.cached_input_tokens, _first(prices.cached_input_nanousd, input_price)),
        (tokens.cache_creation_tokens, _first(prices.cache_creation_nanousd, input_price)),
        (tokens.output_tokens, output_price),
    )
    total = 0
    for count, price in parts:
        if count and price is None:
            return None
        total += count * (price or 0)
    return _divided_half_even(total, TOKENS_PER_PRICE)


def prices_for(call: PricedCall, base: Prices | None, overrides: Iterable[PricingOverride]) -> Prices | None:
    """The base prices with those the one best override replaces; None when there is neither."""
    matching = [override for override in overrides if _matches(override, call)]
    if not matching:
        return base
    best = min(matching, key=_order)
    replaced = {TOKEN_PRICES[name]: price_nanousd(usd) for name, usd in best.patch.items() if name in TOKEN_PRICES}
    return msgspec.structs.replace(base or Prices(), **replaced)


def price_nanousd(usd_per_token: float) -> int:
    """Nano-dollars per million tokens, rounded half to even. Raises ValueError for what is no price."""
    if not (math.isfinite(usd_per_token) and 0 <= usd_per_token <= MAX_UNIT_PRICE_USD):
        raise ValueError(f"must be between 0 and {MAX_UNIT_PRICE_USD}")
    # The number as it was written: 1e-6 is a thousand million, not 999999999.9.
    return int((Decimal(repr(usd_per_token)) * _NANOUSD_PER_MILLION).to_integral_value(ROUND_HALF_EVEN))


def _matches(override: PricingOverride, call: PricedCall) -> bool:
    if any(getattr(override, name) != getattr(call, name) for name in SCOPES[override.scope_kind]):
        return False
    if override.request_types and call.request_type not in override.request_types:
        return False
    if override.match_type == "exact":
        return override.pattern == call.model
    return call.model.startswith(override.pattern.removesuffix("*"))


def _order(override: PricingOverride) -> tuple[int, bool, int, bool, str]:
    """Specific scopes first, exact before wildcard, longer wildcards, those for some request types; then by id."""
    return (
        _RANKS[override.scope_kind],
        override.match_type != "exact",
        -len(override.pattern),
        not override.request_types,
        override.id,
    )


def _first(price: int | None, otherwise: int | None) -> int | None:
    return otherwise if price is None else price


def _divided_half_even(number: int, divisor: int) -> int:
    quotient, rest = divmod(number, divisor)
    up = 2 * rest > divisor or (2 * rest == divisor and quotient % 2 == 1)
    return quotient + up
