"""Price files in the layout of model_prices_and_context_window.json: what is taken of them, and what is refused."""

import json
from typing import Any

import pytest

from service.domain.price_file import LARGEST_FILE_BYTES, PriceFile, PriceFileError, provider_name, read_price_file
from service.domain.pricing import ModelPrice, Prices

CHAT = {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05}
CHAT_PRICES = Prices(input_nanousd=2_500_000_000, output_nanousd=10_000_000_000)


def read(**entries: Any) -> PriceFile:
    return read_price_file(json.dumps(entries).encode())


def test_prices_are_read_as_nano_dollars_per_million_tokens() -> None:
    entry = {
        **CHAT,
        "cache_read_input_token_cost": 1.25e-06,
        "cache_creation_input_token_cost": 3.75e-06,
        "input_cost_per_token_batches": 1.25e-06,
        "output_cost_per_token_batches": 5e-06,
        "max_tokens": 16384,
        "supports_vision": True,
        "search_context_cost_per_query": {"search_context_size_low": 0.03},
    }
    prices = Prices(
        input_nanousd=2_500_000_000,
        output_nanousd=10_000_000_000,
        cached_input_nanousd=1_250_000_000,
        cache_creation_nanousd=3_750_000_000,
        input_batches_nanousd=1_250_000_000,
        output_batches_nanousd=5_000_000_000,
    )
    assert read(gpt=entry).prices == [ModelPrice(provider="openai", model="gpt", mode="chat", prices=prices)]


def test_a_model_named_with_its_provider_is_there_by_its_bare_name_too() -> None:
    found = read(**{"azure/gpt-4o": CHAT | {"litellm_provider": "azure"}, "meta/llama": CHAT}).prices
    assert {(price.provider, price.model) for price in found} == {
        ("azure", "azure/gpt-4o"),
        ("azure", "gpt-4o"),
        ("openai", "meta/llama"),
    }


@pytest.mark.parametrize("turned", [False, True])
def test_a_bare_name_of_the_file_itself_is_kept(turned: bool) -> None:
    entries = {"gpt": CHAT, "openai/gpt": CHAT | {"input_cost_per_token": 9}}
    found = read(**dict(reversed(entries.items()))) if turned else read(**entries)
    assert {price.model: price.prices.input_nanousd for price in found.prices} == {
        "gpt": CHAT_PRICES.input_nanousd,
        "openai/gpt": 9 * 10**15,
    }


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("vertex_ai-language-models", "vertex"),
        ("vertex_ai", "vertex"),
        ("bedrock_converse", "bedrock"),
        ("text-completion-openai", "openai"),
        ("openai", "openai"),
        ("anthropic", "anthropic"),
    ],
)
def test_a_provider_has_one_name_here(theirs: str, ours: str) -> None:
    assert provider_name(theirs) == ours
    found = read(**{f"{theirs.split('-', maxsplit=1)[0]}/m": CHAT | {"litellm_provider": theirs}}).prices
    assert {price.provider for price in found} == {ours}


def test_the_provider_may_have_its_shorter_name() -> None:
    assert read(m={"provider": "openai", "input_cost_per_token": 0}).prices[0].provider == "openai"


def test_what_has_no_token_price_is_skipped_with_its_reason() -> None:
    found = read(
        sample_spec={"litellm_provider": 5, "input_cost_per_token": "number"},
        image={"litellm_provider": "openai", "output_cost_per_image": 0.04, "input_cost_per_token": None},
        nobody={"input_cost_per_token": 1e-6},
    )
    assert found.prices == []
    assert found.skipped == {
        "sample_spec": "is an example",
        "image": "has no price per token",
        "nobody": "has no litellm_provider",
    }


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (CHAT | {"input_cost_per_token": "2.5e-06"}, "input_cost_per_token must be a number"),
        (CHAT | {"input_cost_per_token": True}, "input_cost_per_token must be a number"),
        (CHAT | {"output_cost_per_token": -1e-06}, "output_cost_per_token must be between 0 and 1000 US dollars"),
        (CHAT | {"output_cost_per_token": 10**400}, "output_cost_per_token"),
        (CHAT | {"mode": ["chat"]}, "mode must be a text"),
        (CHAT | {"litellm_provider": "a\nb"}, "litellm_provider must be a text"),
        (CHAT | {"litellm_provider": "x" * 256}, "litellm_provider must be a text"),
        ([], "is no object"),
    ],
)
def test_a_fault_names_the_model_and_the_field(entry: Any, fault: str) -> None:
    with pytest.raises(PriceFileError) as refused:
        read(good=CHAT, bad=entry)
    assert "'bad'" in str(refused.value)
    assert fault in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a": NaN}', b"\xff", b"[" * 100_000])
def test_what_is_no_object_of_models_is_refused(content: bytes) -> None:
    with pytest.raises(PriceFileError, match="no JSON object of models"):
        read_price_file(content)


def test_a_file_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(PriceFileError, match="larger than"):
        read_price_file(b"x" * (LARGEST_FILE_BYTES + 1))
