"""What an operation takes beside its body: from the path, the query and the headers."""

import re
from typing import Any

from service.http.contract import Parameter, Route
from service.http.openapi_schemas import Schema
from service.http.parameters import LONGEST_TEXT

PATH_ID = re.compile(r"\{(\w+)\}")
# As `parameters.py` reads them.
_TEXT: Schema = {"type": "string", "maxLength": LONGEST_TEXT, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}
_MOST = 10**15 - 1
_KEY, _LONGEST_KEY = "[A-Za-z0-9._-]+", 256
_KINDS: dict[str, Schema] = {
    "text": _TEXT,
    "instant": {"anyOf": [{"type": "string", "format": "date-time"}, {"const": ""}]},
    "number": {"type": "integer", "minimum": -_MOST, "maximum": _MOST},
    "flag": {"type": "string", "enum": ["true", "false", "1", "0", ""]},
}
_HEADERS: dict[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "description": "with the same key the same request is done once, and answered alike",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    },
    "If-Match": {
        "description": "the ETag of a read: refuse when the entity was changed since",
        "schema": {"type": "string"},
    },
}


def parameters_of(route: Route) -> list[dict[str, Any]]:
    return [*_path_parameters(route), *map(_query_parameter, route.contract.query), *_header_parameters(route)]


def is_change(route: Route) -> bool:
    """Whether the route changes configuration, as an audited and repeatable change."""
    return route.shown_method != "GET" and route.scope == "admin"


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _TEXT | {"minLength": 1}}
        for name in PATH_ID.findall(route.path)
    ]


def _query_parameter(parameter: Parameter) -> dict[str, Any]:
    described = {"name": parameter.name, "in": "query", "description": parameter.says}
    schema = {"type": "string", "enum": [*parameter.choices, ""]} if parameter.choices else _KINDS[parameter.kind]
    schema = schema | parameter.narrowed
    if not parameter.name.endswith("*"):
        return described | {"schema": schema}
    # An object in this style is a parameter for each of its properties.
    beginning = parameter.name.removesuffix("*")
    names = {"pattern": f"^{re.escape(beginning)}{_KEY}$", "maxLength": len(beginning) + _LONGEST_KEY}
    schema = {"type": "object", "propertyNames": names, "additionalProperties": schema}
    return described | {"name": beginning, "style": "form", "explode": True, "schema": schema}


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    if not is_change(route):
        return [
            {"name": header.name, "in": "header", "description": header.says, "schema": header.kind}
            for header in route.contract.headers
        ]
    name = "Idempotency-Key" if route.method == "POST" else "If-Match"
    return [{"name": name, "in": "header", **_HEADERS[name]}]
