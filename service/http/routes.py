"""THE table of routes: what the service answers, resource by resource."""

import re
from collections.abc import Mapping
from functools import cache

from aiohttp import web

from service.domain.access import RouteScope
from service.http import (
    alerts,
    audit_logs,
    authz,
    calls,
    catalogue,
    customers,
    docs,
    health,
    limit_lists,
    limit_reports,
    mcp_clients,
    metrics,
    model_configs,
    openapi,
    pricing_overrides,
    provider_keys,
    provider_limits,
    routing_rules,
    teams,
    usage_events,
    usage_reports,
    virtual_keys,
)
from service.http.answers import ANSWERS, Answers
from service.http.auth import ROUTE_SCOPES, Handler
from service.http.malformed import answer_expectation
from service.http.openapi import DOCUMENT, encode_document
from service.http.openapi_names import operation_id

ROUTES = (
    *health.ROUTES,
    *metrics.ROUTES,
    *openapi.ROUTES,
    *docs.ROUTES,
    *customers.ROUTES,
    *teams.ROUTES,
    *virtual_keys.ROUTES,
    *model_configs.ROUTES,
    *provider_limits.ROUTES,
    *limit_lists.ROUTES,
    *provider_keys.ROUTES,
    *mcp_clients.ROUTES,
    *pricing_overrides.ROUTES,
    *routing_rules.ROUTES,
    *catalogue.ROUTES,
    *calls.ROUTES,
    *authz.ROUTES,
    *audit_logs.ROUTES,
    *alerts.ROUTES,
    *usage_reports.ROUTES,
    *usage_events.ROUTES,
    *limit_reports.ROUTES,
)

_PATH_ID = re.compile(r"\{(\w+)\}")


def add_routes(app: web.Application, *, scopes: Mapping[Handler, RouteScope], log_each: bool) -> None:
    """`scopes` go before those of the table; `log_each`: a line for each request. GET also answers HEAD."""
    app[DOCUMENT] = _document()
    app[ROUTE_SCOPES] = {route.handler: route.scope for route in ROUTES} | dict(scopes)
    app[ANSWERS] = Answers({route.handler: operation_id(route) for route in ROUTES}, log_each=log_each)
    for route in ROUTES:
        path = route_pattern(route.path)
        if route.method == "GET":
            app.router.add_get(path, route.handler, allow_head=True, expect_handler=answer_expectation)
        else:
            app.router.add_route(route.method, path, route.handler, expect_handler=answer_expectation)


@cache
def _document() -> bytes:
    """Made once: it is the same for every application, and takes tens of milliseconds."""
    return encode_document(ROUTES)


@cache
def route_pattern(path: str) -> str:
    """The path as aiohttp takes it. A word that another route has in the place of an id is never an id."""
    parts = path.split("/")
    return "/".join(_part_pattern(parts, place) for place in range(len(parts)))


def _part_pattern(parts: list[str], place: int) -> str:
    name = _PATH_ID.fullmatch(parts[place])
    if name is None:
        return parts[place]
    if name[1] == "tail":
        return "{tail:.*}"
    beside = (route.path.split("/") for route in ROUTES)
    words = {other[place] for other in beside if len(other) > place and other[:place] == parts[:place]}
    taken = "|".join(sorted(re.escape(word) for word in words if not _PATH_ID.fullmatch(word)))
    return f"{{{name[1]}:(?!(?:{taken})(?:/|$))[^/]+}}" if taken else f"{{{name[1]}:[^/]+}}"
