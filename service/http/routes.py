"""THE table of routes: what the service answers, in one place."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from service.http.customers import get_customer, list_customers
from service.http.health import health, ready

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Route(msgspec.Struct, frozen=True):
    method: str
    path: str
    handler: Handler


ROUTES = (
    Route("GET", "/health", health),
    Route("GET", "/ready", ready),
    Route("GET", "/api/governance/customers", list_customers),
    Route("GET", "/api/governance/customers/{customer_id:[^/]+}", get_customer),
)


def add_routes(app: web.Application) -> None:
    """GET also answers HEAD."""
    for route in ROUTES:
        if route.method == "GET":
            app.router.add_get(route.path, route.handler, allow_head=True)
        else:
            app.router.add_route(route.method, route.path, route.handler)
