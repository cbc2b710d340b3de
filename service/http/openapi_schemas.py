"""JSON Schemas of the document's types: what msgspec emits, made to hold for a JSON client."""

import re
from collections.abc import Iterable, Iterator, Mapping
from inspect import cleandoc
from typing import Any, get_args, get_type_hints

import msgspec

from service.domain.inputs.rules import rules_of

Schema = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_REFERENCED = re.compile(r"#/components/schemas/(\w+)")


def component_schemas(types: Iterable[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """The schema of each type, and all they are made of by name, with the rules between their fields."""
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    ruled = {kind.__name__: rules_of(kind) for kind in _structs(*types)}
    named = {name: cleaned(_with_rules(schema, ruled.get(name, []))) for name, schema in components.items()}
    return [cleaned(schema) for schema in schemas], named


def cleaned(schema: Any) -> Any:
    """Patterns as ECMA-262 has them, and docstrings without their indentation."""
    if isinstance(schema, list):
        return [cleaned(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _CLEAN.get(name, cleaned)(value) for name, value in schema.items()}


def reachable(schema: Schema, components: Mapping[str, Schema]) -> set[str]:
    """The names of the components a schema is made of, at any depth."""
    found: set[str] = set()
    waiting = list(_references(schema))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_references(components[name]))
    return found


def _with_rules(schema: Schema, rules: list[Schema]) -> Schema:
    return schema | {"allOf": rules} if rules else schema


def _structs(*types: Any) -> set[type[msgspec.Struct]]:
    """The types and those of their fields, at any depth."""
    found: set[type[msgspec.Struct]] = set()
    waiting = list(types)
    while waiting:
        kind = waiting.pop()
        waiting.extend(get_args(kind))
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in found:
            found.add(kind)
            waiting.extend(get_type_hints(kind).values())
    return found


def _references(schema: Any) -> Iterator[str]:
    return (match[1] for match in _REFERENCED.finditer(msgspec.json.encode(schema).decode()))


def _pattern(value: Any) -> Any:
    # A property may have the name of a keyword: then this is its schema.
    return value.replace(r"\Z", "$") if isinstance(value, str) else cleaned(value)


def _description(value: Any) -> Any:
    return cleandoc(value) if isinstance(value, str) else cleaned(value)


_CLEAN = {"pattern": _pattern, "description": _description}
