"""Read a JSON body: into its type, or into a refusal that names the path of the fault."""

import asyncio
import difflib
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import hdrs, web
from msgspec import inspect

from service.domain.refusals import invalid
from service.http.errors import ApiError, bad_request

_READ_TIMEOUT_SECONDS = 5.0
_PATH = re.compile(r"^(?P<message>.*) - at `(?P<path>\$.*)`$", re.DOTALL)
_MOST_WARNINGS = 50
_LONGEST_SHOWN_NAME = 64
_NOT_PLAIN = re.compile(r"[\x00-\x1f\x7f-\x9f]")
T = TypeVar("T", bound=msgspec.Struct)

# Whether a field nobody reads is refused, or answered with a warning.
REFUSE_UNKNOWN_FIELDS = web.AppKey("refuse_unknown_fields", bool)


class FieldWarning(msgspec.Struct, frozen=True):
    """A field that was sent and that nobody reads; `did_you_mean` is left out when nothing is near."""

    path: str
    message: str
    did_you_mean: str | msgspec.UnsetType = msgspec.UNSET


class Body(msgspec.Struct, Generic[T], frozen=True):
    """A body as its type, with what of it was not understood, and as it came."""

    given: T
    warnings: list[FieldWarning]
    raw: bytes


async def read_body(request: web.Request, kind: type[T]) -> Body[T]:
    """Raises ApiError 400, 408, 413 or 415, and RefusedError for a value that is not of its type."""
    raw = await _read(request)
    given = decode(raw, kind)
    warnings = unknown_fields(msgspec.json.decode(raw), kind)
    refuse: bool = request.app[REFUSE_UNKNOWN_FIELDS]
    if warnings and refuse:
        raise invalid(warnings[0].path, "unknown field" + _suggestion(warnings[0]))
    return Body(given, warnings, raw)


def decode(raw: bytes, kind: type[T]) -> T:
    """Raises ApiError for what is no JSON, RefusedError for a value that is not of its type."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        match = _PATH.match(str(error))
        raise invalid(match["path"] if match else "$", match["message"] if match else str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # The decoder's words may quote the body.
        raise bad_request("The body is not a JSON document") from error


def unknown_fields(document: Any, kind: type[msgspec.Struct]) -> list[FieldWarning]:
    """What of `document` has no place in `kind`; the first of them when there are very many."""
    found: list[FieldWarning] = []
    for warning in _unknown_fields(document, _type_info(kind), "$"):
        found.append(warning)
        if len(found) == _MOST_WARNINGS:
            break
    return found


async def _read(request: web.Request) -> bytes:
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise ApiError(415, "Content-Encoding is not supported: send the body as it is")
    if request.content_type not in ("application/json", "application/octet-stream"):
        raise ApiError(415, "The body must be JSON: Content-Type: application/json")
    try:
        async with asyncio.timeout(_READ_TIMEOUT_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise ApiError(408, "The body did not arrive in time", headers={"Connection": "close"}) from error


@lru_cache(maxsize=128)
def _type_info(kind: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(kind)


def _unknown_fields(value: object, kind: inspect.Type, path: str) -> Iterator[FieldWarning]:
    if isinstance(kind, inspect.Metadata):
        yield from _unknown_fields(value, kind.type, path)
    elif isinstance(kind, inspect.UnionType):
        for option in kind.types:
            yield from _unknown_fields(value, option, path)
    elif isinstance(kind, inspect.ListType) and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unknown_fields(item, kind.item_type, f"{path}[{number}]")
    elif isinstance(kind, inspect.StructType) and isinstance(value, dict):
        fields = {field.encode_name: field.type for field in kind.fields}
        for name, item in value.items():
            if name in fields:
                yield from _unknown_fields(item, fields[name], f"{path}.{name}")
            else:
                yield _unknown(name, fields, path)


def _unknown(name: str, fields: dict[str, inspect.Type], path: str) -> FieldWarning:
    shown = _NOT_PLAIN.sub("?", name[:_LONGEST_SHOWN_NAME])
    near = difflib.get_close_matches(shown, fields, n=1)
    return FieldWarning(
        path=f"{path}.{shown}",
        message=f"unknown field '{shown}' was ignored",
        did_you_mean=near[0] if near else msgspec.UNSET,
    )


def _suggestion(warning: FieldWarning) -> str:
    return "" if warning.did_you_mean is msgspec.UNSET else f"; did you mean '{warning.did_you_mean}'?"
