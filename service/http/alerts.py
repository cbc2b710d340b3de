"""Alerts: what fired, what came of its delivery, and another try."""

import re

import msgspec
from aiohttp import web

from service.domain.alerts import ALERT_STATES, Alert
from service.governance.changes.alerts import retry_alert
from service.governance.changes.change import Change
from service.governance.changes.run import Answer
from service.http.changing import changed, once_of, run_change
from service.http.contract import API, STRICT_LIMIT, Contract, Parameter, Route, change
from service.http.errors import bad_request, json_response, not_found
from service.http.parameters import path_id, query_choice, query_instant, query_number, query_text
from service.http.reading import DEFAULT_LIMIT, LARGEST_LIMIT
from service.store.alerts import AlertFilter, AlertPlace, find_alert_place, list_alerts as list_stored_alerts
from service.store.postgres import Connection, Store

ALERT_STORE = web.AppKey("alert_store", Store)

_TEXT_FILTERS = {
    "budget_id": "only of the budget with this id",
    "customer_id": "only of this customer's budgets, and of those of all that belonged to it",
    "team_id": "only of this team's budgets, and of those of its virtual keys",
    "virtual_key_id": "only of this virtual key's budgets, those for a provider or model included",
}
_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)


async def list_alerts(request: web.Request) -> web.Response:
    """Newest first. A page asked for with `before_id` costs the same however deep it is."""
    narrowed, before_id = _filter(request), query_number(request, "before_id", negative=False)
    limit = min(query_number(request, "limit", negative=False) or DEFAULT_LIMIT, LARGEST_LIMIT)
    async with request.app[ALERT_STORE].snapshot() as snapshot:
        after = await _place(snapshot, before_id)
        alerts = await list_stored_alerts(snapshot, narrowed, after=after, limit=limit)
    return json_response(msgspec.json.encode({"alerts": alerts, "count": len(alerts), "limit": limit}))


async def retry(request: web.Request) -> web.Response:
    """A dead alert is due again."""
    alert_id = path_id(request, "alert_id")
    if not _NUMBER.fullmatch(alert_id):
        raise not_found("Alert not found")

    async def work(change: Change) -> Answer:
        return changed("Alert will be sent again", {"alert": await retry_alert(change, int(alert_id))}, [])

    return await run_change(request, work, once=once_of(request, b""))


def _filter(request: web.Request) -> AlertFilter:
    narrowed = AlertFilter(
        state=query_choice(request, "state", ALERT_STATES),
        **{name: query_text(request, name) for name in _TEXT_FILTERS},
        from_at=query_instant(request, "from"),
        to_at=query_instant(request, "to"),
    )
    if narrowed.from_at and narrowed.to_at and narrowed.from_at > narrowed.to_at:
        raise bad_request("query parameter 'from' must not be after 'to'")
    return narrowed


async def _place(snapshot: Connection, before_id: int | None) -> AlertPlace:
    place = AlertPlace() if before_id is None else await find_alert_place(snapshot, before_id)
    if place is None:
        raise bad_request("query parameter 'before_id' must be the id of an alert")
    return place


_LIST = Contract(
    says="List the alerts of budgets, newest first",
    query=(
        Parameter("state", "text", "only those that are so", choices=ALERT_STATES),
        *(Parameter(name, "text", says) for name, says in _TEXT_FILTERS.items()),
        Parameter("from", "instant", "only fired from this RFC 3339 time on"),
        Parameter("to", "instant", "only fired before this RFC 3339 time"),
        STRICT_LIMIT,
        Parameter(
            "before_id",
            "number",
            "only what is older than the alert of this id: the page after it",
            narrowed={"minimum": 0},
        ),
    ),
    answer={"alerts": list[Alert], "count": int, "limit": int},
)
_RETRY = Contract(says="Have a dead alert delivered again", answer=change("alert", Alert), refusals=(409,))

ROUTES = (
    Route("GET", f"{API}/alerts", "read", list_alerts, _LIST),
    Route("POST", f"{API}/alerts/{{alert_id}}/retry", "admin", retry, _RETRY),
)
