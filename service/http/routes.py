"""THE table of routes: what the service answers, resource by resource."""

import re

from aiohttp import web

from service.http import customers, health, teams
from service.http.auth import ROUTE_SCOPES
from service.http.malformed import answer_expectation

ROUTES = (
    *health.ROUTES,
    *customers.ROUTES,
    *teams.ROUTES,
)

_PATH_ID = re.compile(r"\{(\w+)\}")


def add_routes(app: web.Application) -> None:
    """GET also answers HEAD."""
    app[ROUTE_SCOPES] = {route.handler: route.scope for route in ROUTES}
    for route in ROUTES:
        path = _PATH_ID.sub(r"{\1:[^/]+}", route.path)
        if route.method == "GET":
            app.router.add_get(path, route.handler, allow_head=True, expect_handler=answer_expectation)
        else:
            app.router.add_route(route.method, path, route.handler, expect_handler=answer_expectation)
