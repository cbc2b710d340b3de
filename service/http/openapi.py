"""The OpenAPI 3.1 document, made once from the table of routes."""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
from aiohttp import web

from service.http.contract import API, JSON, Contract, Parameter, Route, answer_type
from service.http.errors import json_response
from service.http.openapi_names import operation_id, tag_of
from service.http.openapi_schemas import Schema, component_schemas, reachable
from service.http.parameters import LONGEST_TEXT
from service.http.reading import USAGE_SOURCE

DOCUMENT = web.AppKey("openapi_document", bytes)

_PATH_ID = re.compile(r"\{(\w+)\}")
# Entities with live numbers.
_LIMITS = {"Budget", "RateLimit"}
_BEARER = "bearer"
_VIRTUAL_KEY = "virtualKey"
_REFUSALS = {
    400: "The request is not as it must be; `error.path` names the fault in a body",
    401: "No API token, or none that is known",
    403: "The token's scope does not reach this",
    404: "There is no such entity",
    409: "It meets another entity, or another use of the Idempotency-Key",
    412: "The entity is no longer as If-Match says",
    413: "The body is too large",
    415: "The body is not plain JSON",
    503: "A store does not answer, nothing was done: send the same again",
}
_REFUSAL_HEADERS = {
    401: {"WWW-Authenticate": {"description": "how to authenticate", "schema": {"type": "string"}}},
    503: {"Retry-After": {"description": "in seconds", "schema": {"type": "integer"}}},
}


class ErrorDetail(msgspec.Struct):
    """`path` is where in the body the fault is, as in `$.budgets[0].max_limit`."""

    message: str
    path: str | msgspec.UnsetType = msgspec.UNSET


class Error(msgspec.Struct):
    """Every answer that is not a success."""

    is_bifrost_error: bool
    status_code: int
    error: ErrorDetail
    extra_fields: dict[str, Any]


async def openapi_json(request: web.Request) -> web.Response:
    return json_response(request.app[DOCUMENT])


_ANSWER = {"openapi": str, "info": dict[str, str], "paths": dict[str, Any], "components": dict[str, Any]}
ROUTES = (Route("GET", "/openapi.json", "open", openapi_json, Contract(says="Read this document", answer=_ANSWER)),)


def encode_document(routes: Sequence[Route]) -> bytes:
    return msgspec.json.encode(build_document(routes))


def build_document(routes: Sequence[Route]) -> dict[str, Any]:
    """The document of the routes; an answer is a component of its own, named after its operation."""
    bodies = [route.contract.body for route in routes if route.contract.body]
    answers = [answer_type(route.contract, f"{_camel(operation_id(route))}Answer") for route in routes]
    schemas, components = component_schemas([*answers, *bodies, Error])
    paths: dict[str, dict[str, Any]] = {}
    for route, answer in zip(routes, schemas, strict=False):
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, answer, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "LLM governance", "version": _version(), "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {f"Refusal{status}": _refusal(status) for status in _REFUSALS},
            "securitySchemes": {
                _BEARER: {"type": "http", "scheme": "bearer", "description": _SCOPES},
                _VIRTUAL_KEY: {"type": "apiKey", "in": "header", "name": "x-bf-vk"},
            },
        },
    }


def _operation(route: Route, answer: Schema, components: Mapping[str, Schema]) -> dict[str, Any]:
    contract = route.contract
    operation: dict[str, Any] = {
        "operationId": operation_id(route),
        "summary": contract.says,
        "tags": [tag_of(route)],
        "security": _security(route),
        "parameters": [*_path_parameters(route), *map(_query_parameter, contract.query), *_header_parameters(route)],
        "responses": {
            str(contract.status): _success(route, answer, components),
            **{str(status): {"$ref": f"#/components/responses/Refusal{status}"} for status in _refusals(route)},
        },
    }
    if contract.body is not None:
        content = {JSON: {"schema": _ref(contract.body.__name__)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.scope == "open":
        return []
    return [{_VIRTUAL_KEY: []}] if route.scope == "virtual_key" else [{_BEARER: [route.scope]}]


def _success(route: Route, answer: Schema, components: Mapping[str, Schema]) -> dict[str, Any]:
    kinds = route.contract.media_types
    content = {kind: {"schema": answer if kind == JSON else {"type": "string"}} for kind in kinds}
    headers = _answer_headers(route, reachable(answer, components))
    return {"description": "Done", "content": content, **({"headers": headers} if headers else {})}


def _answer_headers(route: Route, parts: set[str]) -> dict[str, Any]:
    headers: dict[str, str] = {}
    if parts & _LIMITS and route.method == "GET":
        headers[USAGE_SOURCE] = "`live`, or `ledger` when Redis does not answer"
    if route.path.endswith("}") and route.method == "GET" and route.scope != "open":
        headers["ETag"] = "of the configuration, not of live usage; If-Match takes it"
    if _is_change(route):
        headers |= {"X-Request-Id": "as the audit log has it", "ETag": "of the entity as it is now"}
    if _is_change(route) and route.method == "POST":
        headers["Idempotent-Replayed"] = "`true` when this is the first answer again"
    return {name: {"description": says, "schema": {"type": "string"}} for name, says in headers.items()}


def _refusals(route: Route) -> list[int]:
    """Which refusals follow from what the route takes."""
    contract = route.contract
    found = set(contract.refusals)
    found |= {503} if route.scope != "open" or route.path == "/ready" else set()
    found |= {400, 401, 403} if route.scope != "open" else set()
    found |= {400, 404} if _PATH_ID.search(route.path) else set()
    found |= {400} if contract.query else set()
    found |= {400, 404, 409, 413, 415} if contract.body is not None else set()
    found |= {409} if _is_change(route) else set()
    found |= {412} if _is_change(route) and route.method in ("PUT", "DELETE") else set()
    return sorted(found)


def _is_change(route: Route) -> bool:
    return route.method != "GET" and route.scope == "admin"


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _TEXT | {"minLength": 1}}
        for name in _PATH_ID.findall(route.path)
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
    if not _is_change(route):
        return []
    name = "Idempotency-Key" if route.method == "POST" else "If-Match"
    return [{"name": name, "in": "header", **_HEADERS[name]}]


def _refusal(status: int) -> dict[str, Any]:
    headers = {"headers": _REFUSAL_HEADERS[status]} if status in _REFUSAL_HEADERS else {}
    return {"description": _REFUSALS[status], "content": {JSON: {"schema": _ref("Error")}}, **headers}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _version() -> str:
    try:
        return version("llm-governance")
    except PackageNotFoundError:
        return "0"


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
_DESCRIPTION = (
    f"Budgets, limits and allow-lists for LLM traffic. Everything under `{API}` has the wire of Bifrost's governance "
    "API. Money is in US dollars; HEAD answers wherever GET does."
)
_SCOPES = (
    "An API token of the scope each operation names: `read`, `admin` (reaches everything) or `gateway`. Not asked for "
    "where authentication is off."
)
