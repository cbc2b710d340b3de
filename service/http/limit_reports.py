"""The limits on the path of a customer, a team or a virtual key: where each stands, and why."""

import msgspec
from aiohttp import web

from service.domain.limit_reports import PathLimit
from service.governance.limits.report import LimitReports
from service.http.auth import Handler
from service.http.contract import API, Contract, Parameter, Route
from service.http.errors import json_response, not_found
from service.http.parameters import path_id, query_number
from service.http.reading import USAGE_SOURCE
from service.store.limit_paths import EntityPath

LIMIT_REPORTS = web.AppKey("limit_reports", LimitReports)

_PAST_WINDOWS, _MOST_PAST_WINDOWS = 5, 100
_EVENTS, _MOST_EVENTS = 100_000, 1_000_000


def _reads_limits(label: str, id_name: str) -> Handler:
    """A GET of the limits of the entity whose id is in the path, and of its owners."""

    async def handle(request: web.Request) -> web.Response:
        report = await request.app[LIMIT_REPORTS].read(
            EntityPath(**{id_name: path_id(request, id_name)}),
            past_windows=_bounded(request, "past_windows", _PAST_WINDOWS, _MOST_PAST_WINDOWS),
            most_events=_bounded(request, "explain_events", _EVENTS, _MOST_EVENTS),
        )
        if report is None:
            raise not_found(f"{label} not found")
        body = {"limits": report.limits, "count": len(report.limits)}
        return json_response(msgspec.json.encode(body), headers={USAGE_SOURCE: report.usage_source})

    return handle


def _bounded(request: web.Request, name: str, default: int, most: int) -> int:
    given = query_number(request, name, negative=False)
    return default if given is None else min(given, most)


_QUERY = (
    Parameter(
        "past_windows",
        "number",
        "how many windows before the current one to tell of: 5 unless told, 100 at most",
        narrowed={"minimum": 0},
    ),
    Parameter(
        "explain_events",
        "number",
        "how many of an owner's latest events `explain` adds up: 100000 unless told, 1000000 at most; 0: no `explain`",
        narrowed={"minimum": 0},
    ),
)
_ANSWER = {"limits": list[PathLimit], "count": int}


def _route(kind: str, label: str, id_name: str, of: str) -> Route:
    contract = Contract(
        says=f"List the limits of a {label.lower()}{of}, where each stands and what that is made of",
        query=_QUERY,
        answer=_ANSWER,
    )
    return Route("GET", f"{API}/{kind}/{{{id_name}}}/limits", "read", _reads_limits(label, id_name), contract)


ROUTES = (
    _route("customers", "Customer", "customer_id", ""),
    _route("teams", "Team", "team_id", " and its customer"),
    _route("virtual-keys", "Virtual key", "virtual_key_id", ", its owners and the whole deployment"),
)
