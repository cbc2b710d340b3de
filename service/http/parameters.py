"""Read what a client put into the path and the query, and refuse what cannot be meant."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import web
from msgspec import Meta

from service.http.errors import bad_request

LONGEST_TEXT = 255
# Control characters, and the surrogates that stand for bytes that are not UTF-8.
_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_METADATA_KEY = re.compile(r"[A-Za-z0-9._-]{1,256}")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,15}", re.ASCII)


def path_id(request: web.Request, name: str) -> str:
    """An id from the path: 1 to 255 characters, none of them a control character."""
    try:
        # What is not UTF-8 stays escaped in match_info, and would pass for a name.
        unquote_to_bytes(request.rel_url.raw_path).decode()
    except UnicodeDecodeError as error:
        raise bad_request(f"'{name}' is not UTF-8") from error
    return _text(request.match_info[name], name)


def query_text(request: web.Request, name: str) -> str | None:
    """None when it is absent or empty."""
    values = _given(request, name)
    return _text(values, name) if values else None


def query_number(request: web.Request, name: str, *, negative: bool = True) -> int | None:
    """None when it is absent or empty."""
    text = _given(request, name)
    if not text:
        return None
    if not _WHOLE_NUMBER.fullmatch(text):
        raise bad_request(f"query parameter '{name}' must be a number")
    if int(text) < 0 and not negative:
        raise bad_request(f"query parameter '{name}' must be non-negative")
    return int(text)


def query_choice(request: web.Request, name: str, choices: Sequence[str]) -> Any:
    """One of `choices`; None when it is absent or empty."""
    text = _given(request, name)
    if text and text not in choices:
        raise bad_request(f"query parameter '{name}' must be one of: {', '.join(choices)}")
    return text or None


def query_prefixed(request: web.Request, prefix: str) -> dict[str, str]:
    """All parameters whose names begin with `prefix`, by what follows it: a key of metadata."""
    names = [name for name in request.query if name.startswith(prefix)]
    given: dict[str, str] = {}
    for name in names:
        key = name.removeprefix(prefix)
        if not _METADATA_KEY.fullmatch(key):
            raise bad_request(f"'{prefix}<key>' needs a key of letters, digits, '.', '_' and '-'")
        given[key] = _text(_given(request, name), prefix + key)
    return given


def query_flag(request: web.Request, name: str) -> bool:
    """False when it is absent or empty."""
    text = _given(request, name)
    if text not in ("", "true", "false", "1", "0"):
        raise bad_request(f"query parameter '{name}' must be true or false")
    return text in ("true", "1")


def query_instant(request: web.Request, name: str) -> datetime | None:
    """In UTC; None when it is absent or empty."""
    text = _given(request, name)
    if not text:
        return None
    try:
        instant: datetime = msgspec.convert(text, Annotated[datetime, Meta(tz=True)])
        return instant.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError) as error:
        raise bad_request(
            f"query parameter '{name}' must be an RFC 3339 time, such as 2026-01-31T12:00:00Z; a + is written %2B"
        ) from error


def _given(request: web.Request, name: str) -> str:
    values = request.query.getall(name, [])
    if len(values) > 1:
        raise bad_request(f"query parameter '{name}' is given more than once")
    return values[0] if values else ""


def _text(text: str, name: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise bad_request(f"'{name}' is longer than {LONGEST_TEXT} characters")
    if _NOT_TEXT.search(text):
        raise bad_request(f"'{name}' holds control characters or is not UTF-8")
    return text
