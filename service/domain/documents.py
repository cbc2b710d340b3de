"""JSON documents that people and programs write: into their types, with what nobody reads told of by its path."""

import difflib
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType, inspect

from service.domain.refusals import RefusedError, invalid

_PATH = re.compile(r"^(?P<message>.*) - at (?:`key` in )?`\$(?P<path>.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_TOO_SMALL = re.compile(r"Expected `(float|int)` >")
_MOST_WARNINGS = 50
_LONGEST_SHOWN_NAME = 64
_NOT_PLAIN = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Every whole number below it has a double of its own.
_LARGEST_EXACT = 2.0**53
T = TypeVar("T", bound=msgspec.Struct)


class FieldWarning(msgspec.Struct, frozen=True):
    """A field that was sent and that nobody reads; `did_you_mean` is left out when nothing is near."""

    path: str
    message: str
    did_you_mean: str | UnsetType = UNSET

    @property
    def suggestion(self) -> str:
        return "" if self.did_you_mean is UNSET else f"; did you mean '{self.did_you_mean}'?"


def converted(document: Any, kind: type[T], path: str = "$") -> T:
    """The document that stands at `path` as its type. Raises RefusedError for a value that is not of its type."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError:
        # `5.0` is a whole number to JSON Schema and to languages with one type of number, but not to msgspec.
        try:
            return msgspec.convert(_with_whole_numbers(document), kind)
        except msgspec.ValidationError as error:
            raise _refusal(error, path) from error
        except RecursionError as error:
            raise invalid(path, "is nested too deeply") from error


def unknown_fields(document: Any, kind: type[msgspec.Struct], path: str = "$") -> list[FieldWarning]:
    """What of the document at `path` has no place in `kind`; the first of them when there are very many."""
    found: list[FieldWarning] = []
    for warning in _unknown_fields(document, _type_info(kind), path):
        found.append(warning)
        if len(found) == _MOST_WARNINGS:
            break
    return found


def shown_name(name: str) -> str:
    """A field's name as it may be printed."""
    return _NOT_PLAIN.sub("?", name[:_LONGEST_SHOWN_NAME])


def _refusal(error: msgspec.ValidationError, path: str) -> RefusedError:
    match = _PATH.match(str(error))
    message = match["message"] if match else str(error)
    at = path + match["path"] if match else path
    missing = _MISSING.fullmatch(message)
    if missing is not None:
        return invalid(f"{at}.{missing[1]}", f"{missing[1]} is required")
    if "matching regex" in message:
        # A pattern says less than its purpose: names and keys hold plain characters only.
        return invalid(at, "holds characters it may not hold")
    if at.endswith("max_limit") and _TOO_SMALL.match(message) is not None:
        return invalid(at, "max limit cannot be negative or zero")
    return invalid(at, message)


def _with_whole_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_EXACT:
        return int(value)
    if isinstance(value, list):
        return [_with_whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: _with_whole_numbers(item) for name, item in value.items()}
    return value


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
    shown = shown_name(name)
    near = difflib.get_close_matches(shown, fields, n=1)
    return FieldWarning(
        path=f"{path}.{shown}",
        message=f"unknown field '{shown}' was ignored",
        did_you_mean=near[0] if near else UNSET,
    )
