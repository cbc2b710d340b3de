"""The shape of a JSON document: which fields it has, and of which kind each is."""

import re
from collections import defaultdict
from collections.abc import Iterator
from numbers import Number
from typing import Any

DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

Shape = dict[str, set[str]]


def shape_of(document: Any) -> Shape:
    """Each field's path, such as `customers[].teams[].name`, with the kinds found there."""
    shape: defaultdict[str, set[str]] = defaultdict(set)
    for path, value in walk(document):
        shape[path].add(kind_of(value))
    return dict(shape)


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a document with its path, the document itself first."""
    yield path, value
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from walk(entry, f"{path}.{name}".removeprefix("."))
    elif isinstance(value, list):
        for entry in value:
            yield from walk(entry, f"{path}[]")


def kind_of(value: Any) -> str:
    """The seed document writes an object whose fields it does not know as `<unknown>`: a reference."""
    if isinstance(value, dict):
        return "reference" if set(value) == {"id", "name"} else "object"
    if isinstance(value, str):
        if value == "<unknown>":
            return "reference"
        return "date-time" if DATE_TIME.fullmatch(value) else "string"
    # bool before numbers: in Python the one is the other.
    kinds: tuple[tuple[Any, str], ...] = ((bool, "boolean"), (Number, "number"), (list, "array"))
    return next((kind for type_, kind in kinds if isinstance(value, type_)), "null")
