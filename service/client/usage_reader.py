"""What an answer says it used, read as it goes by: whole or as a stream, of OpenAI, Anthropic or Gemini."""

import re
from typing import Any

import msgspec

_USAGE = re.compile(rb'"usage(?:Metadata)?"\s*:\s*(?=\{)')
# A stream is cut anywhere: so much is kept until a usage is complete.
_LONGEST_USAGE_BYTES = 8192
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError)
_INPUTS = ("prompt_tokens", "input_tokens", "promptTokenCount")
_OUTPUTS = ("completion_tokens", "output_tokens", "candidatesTokenCount")
_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_FROM_CACHE = ("cache_read_input_tokens", "cachedContentTokenCount")


class UsageReader:
    """Feed it all of an answer; `figures` are arguments of `Call.usage`, nothing when the answer did not say."""

    def __init__(self) -> None:
        self._kept = b""
        self._usage: dict[str, Any] = {}

    def feed(self, chunk: bytes) -> None:
        text = self._kept + chunk
        while found := _USAGE.search(text):
            end = _end_of_object(text, found.end())
            if end is None:
                text = text[found.start() :]
                break
            self._remember(text[found.end() : end])
            text = text[end:]
        self._kept = text[-_LONGEST_USAGE_BYTES:]

    @property
    def figures(self) -> dict[str, int]:
        input_tokens, output_tokens = self._first(_INPUTS), self._first(_OUTPUTS)
        if not input_tokens and not output_tokens:
            return {}
        # Anthropic counts what came from its cache, or went there, beside the input.
        beside = self._count("cache_read_input_tokens") + self._count("cache_creation_input_tokens")
        cached = (
            details.get("cached_tokens") for name in _DETAILS if isinstance(details := self._usage.get(name), dict)
        )
        return {
            "input_tokens": input_tokens + beside,
            "output_tokens": output_tokens + self._count("thoughtsTokenCount"),
            "cached_input_tokens": next(
                (count for count in cached if isinstance(count, int)), self._first(_FROM_CACHE)
            ),
        }

    def _remember(self, usage: bytes) -> None:
        """Later figures go before earlier ones: Anthropic tells the input first, and the output at the end."""
        try:
            self._usage |= msgspec.json.decode(usage, type=dict[str, Any])
        except _NOT_JSON:
            # Another `usage` than a provider's.
            return

    def _first(self, names: tuple[str, ...]) -> int:
        return next((count for name in names if (count := self._count(name))), 0)

    def _count(self, name: str) -> int:
        value = self._usage.get(name)
        return value if isinstance(value, int) and value > 0 else 0


def _end_of_object(text: bytes, start: int) -> int | None:
    depth = 0
    for at in range(start, len(text)):
        if text[at] == 0x7B:
            depth += 1
        elif text[at] == 0x7D:
            depth -= 1
            if depth == 0:
                return at + 1
    return None
