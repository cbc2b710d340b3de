"""Read prices in the layout of `model_prices_and_context_window.json`: an object of models, each with its prices.

    {"gpt-4o": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5e-06, …}, …}

Prices are US dollars per token.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from service.domain.pricing import TOKEN_PRICES, ModelPrice, Prices, price_nanousd

LARGEST_FILE_BYTES = 32 * 1024 * 1024
MOST_MODELS = 100_000
_LONGEST_NAME = 255
# What the layout has as an example of itself.
_SAMPLE = "sample_spec"

# The file has a name of its own for each way to reach a provider: by the beginning of its name, ours.
_PROVIDERS = {
    "vertex_ai": "vertex",
    "bedrock": "bedrock",
    "azure_text": "azure",
    "text-completion-openai": "openai",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
}


class PriceFileError(Exception):
    """The message names the model and the field."""


class PriceFile(msgspec.Struct, frozen=True):
    """`skipped` says why, by the model's name in the file."""

    prices: list[ModelPrice]
    skipped: dict[str, str]


def read_price_file(content: bytes) -> PriceFile:
    """Raises PriceFileError for what is not of the layout; nothing of the file is used then.

    A model that is named `provider/model` is there by its bare name too, unless the file has that itself.
    """
    named: dict[tuple[str, str], ModelPrice] = {}
    bare: dict[tuple[str, str], ModelPrice] = {}
    skipped: dict[str, str] = {}
    for name, entry in _entries(content).items():
        price = _price(name, entry)
        if isinstance(price, str):
            skipped[name] = price
            continue
        named[price.provider, price.model] = price
        prefix, slash, model = name.partition("/")
        if slash and model and provider_name(prefix) == price.provider:
            bare.setdefault((price.provider, model), msgspec.structs.replace(price, model=model))
    return PriceFile(list((bare | named).values()), skipped)


def provider_name(name: str) -> str:
    """A provider of the file as it is called here."""
    return next((ours for beginning, ours in _PROVIDERS.items() if name.startswith(beginning)), name)


def _entries(content: bytes) -> dict[str, Any]:
    if len(content) > LARGEST_FILE_BYTES:
        raise PriceFileError(f"the file is larger than {LARGEST_FILE_BYTES} bytes")
    try:
        entries = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PriceFileError(f"the file is no JSON object of models: {error}") from error
    if len(entries) > MOST_MODELS:
        raise PriceFileError(f"the file has more than {MOST_MODELS} models")
    return entries


def _price(name: str, entry: Any) -> ModelPrice | str:
    """Why it is skipped, when it is."""
    if name == _SAMPLE:
        return "is an example"
    if not isinstance(entry, dict):
        raise PriceFileError(f"{name!r} is no object")
    provider, mode = entry.get("litellm_provider") or entry.get("provider") or "", entry.get("mode") or ""
    for field, text in (("its name", name), ("litellm_provider", provider), ("mode", mode)):
        if not isinstance(text, str) or len(text) > _LONGEST_NAME or not text.isprintable():
            raise PriceFileError(f"{name!r}: {field} must be a text of at most {_LONGEST_NAME} printable characters")
    prices = dict(_token_prices(name, entry))
    if not provider or not name:
        return "has no litellm_provider"
    if not prices:
        return "has no price per token"
    return ModelPrice(provider=provider_name(provider), model=name, mode=mode, prices=Prices(**prices))


def _token_prices(name: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for field, ours in TOKEN_PRICES.items():
        price_usd = entry.get(field)
        if price_usd is None:
            continue
        if isinstance(price_usd, bool) or not isinstance(price_usd, int | float):
            raise PriceFileError(f"{name!r}: {field} must be a number")
        try:
            yield ours, price_nanousd(price_usd)
        except (ValueError, OverflowError) as error:
            raise PriceFileError(f"{name!r}: {field} {error} US dollars") from error
