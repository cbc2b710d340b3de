"""What answers used is read in the words of each provider, wherever the answer is cut."""

import pytest

from service.client import UsageReader

OPENAI = (
    'data: {"choices":[{"delta":{"content":"say \\"usage\\": {\\"prompt_tokens\\": 9}"}}],"usage":null}\n\n'
    'data: {"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,'
    '"prompt_tokens_details":{"cached_tokens":3}}}\n\ndata: [DONE]\n\n'
)
ANTHROPIC = (
    'data: {"type":"message_start","message":{"usage":{"input_tokens":20,"cache_read_input_tokens":5,'
    '"cache_creation_input_tokens":2,"output_tokens":1}}}\n\ndata: {"delta":{"text":"Grüße"}}\n\n'
    'data: {"type":"message_delta","usage":{"output_tokens":15}}\n\n'
)
GEMINI = (
    'data: {"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":1}}\n\n'
    'data: {"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":9,"thoughtsTokenCount":2}}\n\n'
)
RESPONSES = '{"output":[],"usage":{"input_tokens":6,"input_tokens_details":{"cached_tokens":1},"output_tokens":2}}'


@pytest.mark.parametrize(
    ("answer", "figures"),
    [(OPENAI, (11, 7, 3)), (ANTHROPIC, (27, 15, 5)), (GEMINI, (4, 11, 0)), (RESPONSES, (6, 2, 1))],
    ids=["openai", "anthropic", "gemini", "responses"],
)
@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_usage_is_read_wherever_the_answer_is_cut(answer: str, figures: tuple[int, int, int], size: int) -> None:
    reader, raw = UsageReader(), answer.encode()
    for start in range(0, len(raw), size):
        reader.feed(raw[start : start + size])
    assert tuple(reader.figures.values()) == figures


@pytest.mark.parametrize("answer", [b"", b'{"usage":{}}', b'{"usage":{"a":', b'"usage":{bad}', b"\xff" * 50_000])
def test_an_answer_that_does_not_say_has_no_figures(answer: bytes) -> None:
    reader = UsageReader()
    reader.feed(answer)
    assert reader.figures == {}
