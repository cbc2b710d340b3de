"""What the body of a call says of it, as gateways forward it: the shapes of OpenAI, Anthropic, Gemini, and MCP."""

from collections.abc import Iterator
from typing import Any

import msgspec

# Of English text; code and other languages have fewer. It is an estimate, and is settled by what is reported.
_CHARACTERS_PER_TOKEN = 4
_INPUTS = (
    *("messages", "input", "prompt", "contents", "documents", "query", "tools", "functions"),
    *("system", "instructions", "systemInstruction", "system_instruction"),
)
# Values that are no text a model reads: images and files, references to them, and words of the protocol.
_NOT_TEXT = frozenset(
    (
        *("image_url", "url", "data", "file_data", "file_id", "inline_data", "inlineData", "fileData", "input_audio"),
        *("source", "type", "role", "id", "cache_control"),
    )
)
_OUTPUT_BOUNDS = ("max_completion_tokens", "max_output_tokens", "max_tokens", "max_tokens_to_sample")
_ANSWERS = ("n", "best_of")
_GENERATION_CONFIGS = ("generationConfig", "generation_config")
_CONFIG_OUTPUT_BOUNDS = ("maxOutputTokens", "max_output_tokens")
_CONFIG_ANSWERS = ("candidateCount", "candidate_count")
_MOST_TOKENS = 10**12
_MOST_ANSWERS = 128
_MOST_PARTS = 20_000
_MOST_TOOLS = 1000
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode = msgspec.json.Decoder().decode


class ForwardedBody(msgspec.Struct, frozen=True):
    """`input_tokens` are an estimate, `max_output_tokens` of all answers together. `mcp_tools` are `server-tool`."""

    model: str | None = None
    input_tokens: int | None = None
    max_output_tokens: int | None = None
    mcp_tools: list[str] | None = None


def read_forwarded_body(raw: bytes) -> ForwardedBody:
    """Says nothing of what is no JSON object."""
    try:
        body = _decode(raw)
    except _NOT_JSON:
        body = None
    if not isinstance(body, dict):
        return ForwardedBody()
    model = body.get("model")
    return ForwardedBody(
        model=model if isinstance(model, str) and model else None,
        input_tokens=_input_tokens(body, len(raw)),
        max_output_tokens=_max_output_tokens(body),
        mcp_tools=list(_mcp_tools(body))[:_MOST_TOOLS] or None,
    )


def _input_tokens(body: dict[str, Any], size_bytes: int) -> int | None:
    inputs = [body[name] for name in _INPUTS if name in body]
    return -(-_characters(inputs, size_bytes) // _CHARACTERS_PER_TOKEN) if inputs else None


def _characters(inputs: list[Any], size_bytes: int) -> int:
    """Of all texts; of more parts than are counted, the bytes of everything."""
    found, parts = 0, 0
    left = inputs
    while left:
        part = left.pop()
        parts += 1
        if parts + len(left) > _MOST_PARTS:
            return size_bytes
        if isinstance(part, str):
            found += len(part)
        elif isinstance(part, dict):
            left += [value for name, value in part.items() if name not in _NOT_TEXT]
        elif isinstance(part, list) and part and isinstance(part[0], int):
            # Tokens already.
            found += len(part) * _CHARACTERS_PER_TOKEN
        elif isinstance(part, list):
            left += part
    return found


def _max_output_tokens(body: dict[str, Any]) -> int | None:
    """The largest there is: who says it twice means the one a model listens to."""
    config: dict[str, Any] = next((body[name] for name in _GENERATION_CONFIGS if isinstance(body.get(name), dict)), {})
    bounds = [*_counts(body, _OUTPUT_BOUNDS), *_counts(config, _CONFIG_OUTPUT_BOUNDS)]
    if not bounds:
        return None
    answers = max([1, *_counts(body, _ANSWERS), *_counts(config, _CONFIG_ANSWERS)])
    return min(max(bounds) * min(answers, _MOST_ANSWERS), _MOST_TOKENS)


def _counts(fields: dict[str, Any], names: tuple[str, ...]) -> Iterator[int]:
    for name in names:
        value = fields.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            yield int(min(value, _MOST_TOKENS))


def _mcp_tools(body: dict[str, Any]) -> Iterator[str]:
    """Of OpenAI's `{"type": "mcp", "server_label": …, "allowed_tools": […]}`, and of MCP's own `tools/call`."""
    params = body.get("params")
    if body.get("method") == "tools/call" and isinstance(params, dict) and isinstance(params.get("name"), str):
        yield params["name"]
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict) or tool.get("type") != "mcp" or not isinstance(tool.get("server_label"), str):
            continue
        allowed = tool.get("allowed_tools")
        names = allowed.get("tool_names") if isinstance(allowed, dict) else allowed
        # Without a list it may use all of them, which only who may use all of them may.
        for name in names if isinstance(names, list) else ["*"]:
            if isinstance(name, str):
                yield f"{tool['server_label']}-{name}"
