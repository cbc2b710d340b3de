"""Cursors: where the next page begins, as a text a client passes on without reading it."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from service.http.contract import Parameter
from service.http.errors import ApiError, bad_request
from service.http.parameters import LONGEST_TEXT

T = TypeVar("T")

_LONGEST = 7000
CURSOR = Parameter(
    "cursor",
    "text",
    "the `next_cursor` of the page before",
    narrowed={"maxLength": _LONGEST, "pattern": "^[A-Za-z0-9_-]*$"},
)
# What may stand in a cursor for a text of the database.
CursorText = Annotated[str, Meta(max_length=LONGEST_TEXT, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]


def encode_cursor(place: msgspec.Struct) -> str:
    return urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def query_cursor(request: web.Request, kind: type[T]) -> T | None:
    """None when it is absent or empty."""
    texts = request.query.getall(CURSOR.name, [])
    if len(texts) > 1:
        raise bad_request(f"query parameter '{CURSOR.name}' is given more than once")
    if not texts or not texts[0]:
        return None
    if len(texts[0]) > _LONGEST:
        raise _no_cursor()
    try:
        padded = texts[0].encode("ascii") + b"=" * (-len(texts[0]) % 4)
        return msgspec.json.decode(urlsafe_b64decode(padded), type=kind)
    except (UnicodeEncodeError, binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise _no_cursor() from error


def _no_cursor() -> ApiError:
    return bad_request("query parameter 'cursor' must be the next_cursor of a page")
