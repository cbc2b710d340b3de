"""What of a secret may be shown, and which part of a key's configuration is secret."""

import json
from typing import Any

import pytest

from service.domain.redaction import MASK, redacted, redacted_connection, separated
from service.domain.refusals import RefusedError

SECRET = "sk-proj-0123456789abcdefghijklmnop"
SHOWN = f"sk-p{MASK}mnop"


@pytest.mark.parametrize("length", range(1, 24))
def test_nothing_of_a_short_secret_is_shown_not_even_its_length(length: int) -> None:
    assert redacted("x" * length) == MASK


def test_the_ends_of_a_long_secret_are_shown() -> None:
    assert redacted(SECRET) == SHOWN
    assert redacted("x" * 23 + "y") == f"xxxx{MASK}xxxy"


def test_line_breaks_and_marks_of_a_secret_do_not_reach_what_is_shown() -> None:
    assert redacted("\n\u202eab" + "x" * 30 + "c\x00\té") == f"**ab{MASK}c***"


@pytest.mark.parametrize(
    ("document", "shown", "secrets"),
    [
        (SECRET, SHOWN, {"$.c": SECRET}),
        ("", "", {}),
        ("env.OPENAI_KEY", "env.OPENAI_KEY", {}),
        ("env.not a name, a secret", redacted("env.not a name, a secret"), {"$.c": "env.not a name, a secret"}),
        (None, None, {}),
        ({"scopes": ["a", "env.B", 1, True, None]}, {"scopes": [MASK, "env.B", 1, True, None]}, {"$.c.scopes[0]": "a"}),
        ({"client_id": "id"}, {"client_id": MASK}, {"$.c.client_id": "id"}),
        ({"a": {"region": "x", "b": "y"}}, {"a": {"region": "x", "b": MASK}}, {"$.c.a.b": "y"}),
        ({"role_arn": "arn:aws:1", "arn": "arn:aws:2"}, {"role_arn": "arn:aws:1", "arn": "arn:aws:2"}, {}),
        ({"a.b": "1", "a": {"b": "2"}}, {"a.b": MASK, "a": {"b": MASK}}, {'$.c["a.b"]': "1", "$.c.a.b": "2"}),
    ],
)
def test_every_text_is_secret_that_does_not_say_where_or_what(document: Any, shown: Any, secrets: Any) -> None:
    taken = separated(document, {}, "$.c")
    assert (taken.shown, taken.secrets) == (shown, secrets)


@pytest.mark.parametrize("name", ["endpoint", "deployments", "api_version", "region", "project_id", "project_number"])
def test_what_says_where_a_key_is_for_is_shown(name: str) -> None:
    document = {name: {"gpt-4o": ["https://your.example.com/v1", "2024-02-15"]}}
    taken = separated(document, {}, "$")
    assert (taken.shown, taken.secrets) == (document, {})


@pytest.mark.parametrize(
    "url", ["https://user:password@example.com", "https://example.com/x?key=abc", "see https://u@h/ there"]
)
def test_a_url_with_credentials_is_secret_wherever_it_is(url: str) -> None:
    taken = separated({"endpoint": url}, {}, "$")
    assert taken.secrets == {"$.endpoint": url}
    assert url not in json.dumps(taken.shown)


def test_what_is_sent_back_as_it_was_shown_stays() -> None:
    document = {"a": SECRET, "b": ["short", "env.X"], "endpoint": "https://h"}
    first = separated(document, {}, "$")
    again = separated(first.shown, first.secrets, "$")
    assert again == first


@pytest.mark.parametrize("document", [{"b": SHOWN}, {"a": MASK}, {"a": f"sk-x{MASK}mnop"}, {"a": f"new {MASK}"}])
def test_a_redacted_form_of_another_secret_is_refused(document: dict[str, str]) -> None:
    with pytest.raises(RefusedError, match="redacted form") as refused:
        separated(document, {"$.a": SECRET}, "$")
    assert refused.value.path == f"$.{next(iter(document))}"


def test_a_document_too_large_or_deep_is_refused_without_repeating_it() -> None:
    deep: Any = SECRET
    for _ in range(9):
        deep = {"x": deep}
    for document in (deep, {"x": SECRET * 1000}):
        with pytest.raises(RefusedError) as refused:
            separated(document, {}, "$")
        assert "0123456789" not in str(refused.value)


@pytest.mark.parametrize(
    ("connection", "shown"),
    [
        ("", ""),
        ("env.MCP_URL", "env.MCP_URL"),
        ("https://mcp.example.com", "https://mcp.example.com"),
        ("http://127.0.0.1:3000/", "http://127.0.0.1:3000/"),
        ("https://mcp.example.com/s/secret/sse", f"https://mcp.example.com/{MASK}"),
        ("https://user:secret@mcp.example.com", f"https://mcp.example.com/{MASK}"),
        ("https://mcp.example.com?token=secret", f"https://mcp.example.com/{MASK}"),
        ("https://mcp.example.com#secret", f"https://mcp.example.com/{MASK}"),
        ("https://a@secret@b.example.com/", MASK),
        ("npx", "npx"),
        ("npx -y server --token secret", f"npx {MASK}"),
        ("/usr/bin/server\n--token secret", f"/usr/bin/server {MASK}"),
        ("TOKEN=secret server", MASK),
    ],
)
def test_of_a_connection_the_host_or_the_program_is_shown(connection: str, shown: str) -> None:
    assert redacted_connection(connection) == shown
    assert "secret" not in shown
