"""From what a client sent to what is written: fields it left out stay as they are."""

from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

T = TypeVar("T", bound=msgspec.Struct)
V = TypeVar("V")


def merged(columns: T, given: msgspec.Struct, *, nullable: frozenset[str] = frozenset()) -> T:
    """`columns` with the fields of the same name that were sent. Null counts as sent only for `nullable` ones."""
    sent: dict[str, Any] = {}
    for name in columns.__struct_fields__:
        value = getattr(given, name, UNSET)
        if value is UNSET or (value is None and name not in nullable):
            continue
        sent[name] = value
    return msgspec.structs.replace(columns, **sent)


def kept(sent: V | UnsetType | None, stored: V) -> V:
    """What was sent; null and what was left out stay as they are."""
    return stored if sent is None or sent is UNSET else sent


def owner_id(given: str | None) -> str | None:
    """Null and the empty text both mean: of nobody."""
    return given or None
