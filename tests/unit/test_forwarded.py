"""What is read of forwarded calls: each provider's shape, and of what is none, nothing."""

from typing import Any

import msgspec
import pytest

from service.domain.forwarded_body import ForwardedBody, read_forwarded_body
from service.domain.forwarded_uri import provider_and_model_in


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/openai/v1/chat/completions", ("openai", None)),
        ("/genai/v1beta/models/gemini-2.5-pro:generateContent", ("gemini", "gemini-2.5-pro")),
        ("/v1beta/models/gemini-2.5-pro:streamGenerateContent", (None, "gemini-2.5-pro")),
        ("/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:countTokens", (None, "gemini-2.5-pro")),
        ("/openai/deployments/gpt-4o/chat/completions", ("openai", "gpt-4o")),
        ("/bedrock/model/anthropic.claude-v2/converse-stream", ("bedrock", "anthropic.claude-v2")),
        ("/v1/models", (None, None)),
        ("/v1/chat/completions", (None, None)),
        ("/openai/../anthropic/v1/messages", (None, None)),
        ("//openai/v1", (None, None)),
        ("", (None, None)),
    ],
)
def test_a_path_names_provider_and_model_as_their_apis_have_it(path: str, named: tuple[str | None, str | None]) -> None:
    assert provider_and_model_in(path) == named


def read(body: Any) -> ForwardedBody:
    return read_forwarded_body(msgspec.json.encode(body))


TEXT = "x" * 40


@pytest.mark.parametrize(
    ("body", "input_tokens", "max_output_tokens"),
    [
        ({"messages": [{"role": "user", "content": TEXT}], "max_tokens": 5}, 10, 5),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": TEXT}]}]}, 10, None),
        ({"system": TEXT, "messages": [{"role": "user", "content": TEXT}], "max_tokens": 7}, 20, 7),
        ({"input": TEXT, "instructions": TEXT, "max_output_tokens": 9}, 20, 9),
        ({"contents": [{"parts": [{"text": TEXT}]}], "generationConfig": {"maxOutputTokens": 3}}, 10, 3),
        ({"prompt": [TEXT, TEXT], "max_tokens": 4, "n": 3}, 20, 12),
        ({"input": [1, 2, 3]}, 3, None),
        ({"input": [[1, 2], [3]]}, 3, None),
        ({"model": "gpt-4o"}, None, None),
        ({"messages": [], "max_tokens": 1, "max_completion_tokens": 900}, 0, 900),
        ({"messages": [], "max_tokens": 1e300}, 0, 10**12),
        ({"messages": [], "max_tokens": True, "n": -4}, 0, None),
    ],
)
def test_tokens_are_estimated_in_the_shapes_of_providers(
    body: Any, input_tokens: int | None, max_output_tokens: int | None
) -> None:
    found = read(body)
    assert (found.input_tokens, found.max_output_tokens) == (input_tokens, max_output_tokens)


def test_images_and_files_are_no_text() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "data:" + TEXT}},
        {"type": "image", "source": {"data": TEXT}},
        {"inlineData": {"data": TEXT}},
    ]
    assert read({"messages": [{"role": "user", "content": parts}]}).input_tokens == 0


def test_a_body_of_endless_parts_is_estimated_by_its_size() -> None:
    raw = msgspec.json.encode({"input": ["a"] * 100_000})
    assert read_forwarded_body(raw).input_tokens == -(-len(raw) // 4)


def test_mcp_tools_are_named_as_virtual_keys_name_them() -> None:
    search = {"type": "mcp", "server_label": "web", "allowed_tools": ["search", "open"]}
    assert read({"tools": [search, {"type": "function"}]}).mcp_tools == ["web-search", "web-open"]
    assert read({"tools": [{"type": "mcp", "server_label": "web"}]}).mcp_tools == ["web-*"]
    assert read({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "web-open"}}).mcp_tools == ["web-open"]
    assert read({"tools": "all"}).mcp_tools is None


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b"null", b'"model"', b'{"a":' * 50_000])
def test_what_is_no_json_object_says_nothing(raw: bytes) -> None:
    assert read_forwarded_body(raw) == ForwardedBody()
