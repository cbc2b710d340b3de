"""THE table of routes: what the service answers, in one place."""

import msgspec
from aiohttp import web

from service.domain.access import RouteScope
from service.http.auth import ROUTE_SCOPES, Handler
from service.http.customers import get_customer, list_customers
from service.http.health import health, ready
from service.http.malformed import answer_expectation


class Route(msgspec.Struct, frozen=True):
    """`scope` is what a token needs for it; `open` needs none."""

    method: str
    path: str
    scope: RouteScope
    handler: Handler


ROUTES = (
    Route("GET", "/health", "open", health),
    Route("GET", "/ready", "open", ready),
    Route("GET", "/api/governance/customers", "read", list_customers),
    Route("GET", "/api/governance/customers/{customer_id:[^/]+}", "read", get_customer),
)


def add_routes(app: web.Application) -> None:
    """GET also answers HEAD."""
    app[ROUTE_SCOPES] = {route.handler: route.scope for route in ROUTES}
    for route in ROUTES:
        if route.method == "GET":
            app.router.add_get(route.path, route.handler, allow_head=True, expect_handler=answer_expectation)
        else:
            app.router.add_route(route.method, route.path, route.handler, expect_handler=answer_expectation)
