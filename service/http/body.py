"""Read a JSON body: into its type, or into a refusal that names the path of the fault."""

import asyncio
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import hdrs, web

from service.domain.documents import FieldWarning, converted, unknown_fields
from service.domain.refusals import invalid
from service.http.errors import ApiError, bad_request

_READ_TIMEOUT_SECONDS = 5.0
_JSON = "application/json"
_IDENTITY = "identity"
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
T = TypeVar("T", bound=msgspec.Struct)

# Whether a field nobody reads is refused, or answered with a warning.
REFUSE_UNKNOWN_FIELDS = web.AppKey("refuse_unknown_fields", bool)


class Body(msgspec.Struct, Generic[T], frozen=True):
    """A body as its type, with what of it was not understood, and as it came."""

    given: T
    warnings: list[FieldWarning]
    raw: bytes


async def read_body(request: web.Request, kind: type[T]) -> Body[T]:
    """Raises ApiError 400, 408, 413 or 415, and RefusedError for a value that is not of its type."""
    raw = await read_raw(request)
    given = decode(raw, kind)
    warnings = unknown_fields(decode_document(raw), kind)
    refuse: bool = request.app[REFUSE_UNKNOWN_FIELDS]
    if warnings and refuse:
        raise invalid(warnings[0].path, "unknown field" + warnings[0].suggestion)
    return Body(given, warnings, raw)


def decode(raw: bytes, kind: type[T]) -> T:
    """Raises ApiError for what is no JSON, RefusedError for a value that is not of its type."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        return converted(decode_document(raw), kind)
    except _NOT_JSON as error:
        raise _not_json() from error


def decode_document(raw: bytes) -> Any:
    """All of the body: what the decoder of a type passes over may still be no JSON. Raises ApiError."""
    try:
        return msgspec.json.decode(raw)
    except _NOT_JSON as error:
        raise _not_json() from error


def _not_json() -> ApiError:
    # The decoder's words may quote the body.
    return bad_request("The body is not a JSON document")


async def read_raw(request: web.Request) -> bytes:
    """Raises ApiError 408, 413 or 415."""
    headers = request.headers
    if headers.get(hdrs.CONTENT_ENCODING, _IDENTITY).lower() != _IDENTITY:
        raise ApiError(415, "Content-Encoding is not supported: send the body as it is")
    # As nearly everyone says it, before it is taken apart.
    if headers.get(hdrs.CONTENT_TYPE) != _JSON and request.content_type not in (_JSON, "application/octet-stream"):
        raise ApiError(415, "The body must be JSON: Content-Type: application/json")
    if request.content.is_eof():
        # It came with the head: nothing to wait for.
        return await request.read()
    try:
        async with asyncio.timeout(_READ_TIMEOUT_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise ApiError(408, "The body did not arrive in time", headers={"Connection": "close"}) from error
