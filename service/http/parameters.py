"""Read what a client put into the path and the query, and refuse what cannot be meant."""

import re

from aiohttp import web

from service.http.errors import bad_request

_LONGEST_TEXT = 255
# Control characters, and the surrogates that stand for bytes that are not UTF-8.
_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,15}", re.ASCII)


def path_id(request: web.Request, name: str) -> str:
    """An id from the path: 1 to 255 characters, none of them a control character."""
    return _text(request.match_info[name], name)


def query_text(request: web.Request, name: str) -> str | None:
    """None when it is absent or empty."""
    values = _given(request, name)
    return _text(values, name) if values else None


def query_number(request: web.Request, name: str) -> int | None:
    """None when it is absent or empty."""
    text = _given(request, name)
    if not text:
        return None
    if not _WHOLE_NUMBER.fullmatch(text):
        raise bad_request(f"query parameter '{name}' must be a whole number")
    return int(text)


def query_flag(request: web.Request, name: str) -> bool:
    """False when it is absent or empty."""
    text = _given(request, name)
    if text not in ("", "true", "false", "1", "0"):
        raise bad_request(f"query parameter '{name}' must be true or false")
    return text in ("true", "1")


def _given(request: web.Request, name: str) -> str:
    values = request.query.getall(name, [])
    if len(values) > 1:
        raise bad_request(f"query parameter '{name}' is given more than once")
    return values[0] if values else ""


def _text(text: str, name: str) -> str:
    if len(text) > _LONGEST_TEXT:
        raise bad_request(f"'{name}' is longer than {_LONGEST_TEXT} characters")
    if _NOT_TEXT.search(text):
        raise bad_request(f"'{name}' holds control characters or is not UTF-8")
    return text
