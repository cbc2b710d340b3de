"""The OpenAPI 3.1 document, made once from the table of routes."""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version as distribution_version
from typing import Any

import msgspec
from aiohttp import web

from service.domain.access import RouteScope
from service.http.auth import GATEWAY_TOKEN
from service.http.contract import API, JSON, Contract, Route, answer_type
from service.http.errors import json_response
from service.http.openapi_names import operation_id, tag_of
from service.http.openapi_parameters import PATH_ID, is_change, parameters_of
from service.http.openapi_schemas import Schema, component_schemas, reachable
from service.http.reading import USAGE_SOURCE

DOCUMENT = web.AppKey("openapi_document", bytes)

# Entities with live numbers.
_LIMITS = {"Budget", "RateLimit"}
_BEARER = "bearer"
_VIRTUAL_KEY = "virtualKey"
_GATEWAY = "gatewayToken"
_REFUSALS = {
    400: "The request is not as it must be; `error.path` names the fault in a body",
    401: "No API token, or none that is known",
    402: "A budget has no room for the call",
    403: "The token's scope does not reach this",
    404: "There is no such entity",
    409: "It meets another entity, or another use of the Idempotency-Key",
    412: "The entity is no longer as If-Match says",
    413: "The body is too large",
    415: "The body is not plain JSON",
    429: "A rate limit has no room for the call",
    503: "A store does not answer, nothing was done: send the same again",
}
_RETRY_AFTER = {"Retry-After": {"description": "in seconds", "schema": {"type": "integer"}}}
_REFUSAL_HEADERS = {
    401: {"WWW-Authenticate": {"description": "how to authenticate", "schema": {"type": "string"}}},
    402: _RETRY_AFTER,
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
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


def version() -> str:
    """Of this service."""
    try:
        return distribution_version("llm-governance")
    except PackageNotFoundError:
        return "0"


def encode_document(routes: Sequence[Route]) -> bytes:
    return msgspec.json.encode(build_document(routes))


def build_document(routes: Sequence[Route]) -> dict[str, Any]:
    """The document of the routes; an answer is a component of its own, named after its operation."""
    bodies = [route.contract.body for route in routes if route.contract.body]
    answers = [answer_type(route.contract, f"{_camel(operation_id(route))}Answer") for route in routes]
    schemas, components = component_schemas([*answers, *bodies, Error])
    paths: dict[str, dict[str, Any]] = {}
    for route, answer in zip(routes, schemas, strict=False):
        operation = _operation(route, answer, components)
        operation["responses"][str(route.contract.status)] |= _links(route, routes)
        paths.setdefault(route.path, {})[route.shown_method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "LLM governance", "version": version(), "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {f"Refusal{status}": _refusal(status) for status in _REFUSALS},
            "securitySchemes": {
                _BEARER: {"type": "http", "scheme": "bearer", "description": _SCOPES},
                _VIRTUAL_KEY: {"type": "apiKey", "in": "header", "name": "x-bf-vk"},
                _GATEWAY: {"type": "apiKey", "in": "header", "name": GATEWAY_TOKEN, "description": _GATEWAYS},
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
        "parameters": parameters_of(route),
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
    apart: dict[RouteScope, str] = {"virtual_key": _VIRTUAL_KEY, "forward_auth": _GATEWAY}
    return [{apart[route.scope]: []}] if route.scope in apart else [{_BEARER: [route.scope]}]


def _success(route: Route, answer: Schema, components: Mapping[str, Schema]) -> dict[str, Any]:
    kinds = route.contract.media_types
    content = {kind: {"schema": answer if kind == JSON else {"type": "string"}} for kind in kinds}
    headers = _answer_headers(route, reachable(answer, components))
    return {"description": "Done", "content": content, **({"headers": headers} if headers else {})}


def _links(route: Route, routes: Sequence[Route]) -> dict[str, Any]:
    """From what was made to all that can be done with it by its id."""
    if route.method != "POST" or not isinstance(route.contract.answer, dict):
        return {}
    entity = next((field for field in route.contract.answer if field != "message"), "")
    links: dict[str, Any] = {}
    for other in routes:
        below = re.fullmatch(re.escape(route.path) + r"/\{(\w+)\}(/\w+)?", other.path)
        if below:
            parameters = {below[1]: f"$response.body#/{entity}/id"}
            links[operation_id(other)] = {"operationId": operation_id(other), "parameters": parameters}
    return {"links": links} if links else {}


def _answer_headers(route: Route, parts: set[str]) -> dict[str, Any]:
    headers: dict[str, str] = {}
    if parts & _LIMITS and route.method == "GET":
        headers[USAGE_SOURCE] = "`live`, or `ledger` when Redis does not answer"
    if route.path.endswith("}") and route.method == "GET" and route.scope != "open":
        headers["ETag"] = "of the configuration, not of live usage; If-Match takes it"
    if is_change(route):
        headers |= {"X-Request-Id": "as the audit log has it", "ETag": "of the entity as it is now"}
    if is_change(route) and route.method == "POST":
        headers["Idempotent-Replayed"] = "`true` when this is the first answer again"
    return {name: {"description": says, "schema": {"type": "string"}} for name, says in headers.items()}


def _refusals(route: Route) -> list[int]:
    """Which refusals follow from what the route takes."""
    contract = route.contract
    found = set(contract.refusals)
    found |= {503} if route.scope != "open" or route.path == "/ready" else set()
    found |= {400, 401, 403} if route.scope != "open" else set()
    found |= {400, 404} if PATH_ID.search(route.path) else set()
    found |= {400} if contract.query else set()
    found |= {400, 404, 409, 413, 415} if contract.body is not None else set()
    found |= {409} if is_change(route) else set()
    found |= {412} if is_change(route) and route.method in ("PUT", "DELETE") else set()
    return sorted(found)


def _refusal(status: int) -> dict[str, Any]:
    headers = {"headers": _REFUSAL_HEADERS[status]} if status in _REFUSAL_HEADERS else {}
    return {"description": _REFUSALS[status], "content": {JSON: {"schema": _ref("Error")}}, **headers}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


_DESCRIPTION = (
    f"Budgets, limits and allow-lists for LLM traffic. Everything under `{API}` has the wire of Bifrost's governance "
    "API. Money is in US dollars; HEAD answers wherever GET does."
)
_SCOPES = (
    "An API token of the scope each operation names: `read`, `admin` (reaches everything) or `gateway`. Not asked for "
    "where authentication is off."
)
_GATEWAYS = "An API token of scope `gateway`; not asked for in GOVERNANCE_TRUSTED_NETWORKS"
