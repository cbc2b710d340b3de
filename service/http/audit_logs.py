"""The audit log: who changed what, when, from what to what."""

import msgspec
from aiohttp import web
from msgspec import UnsetType

from service.http.contract import API, STRICT_LIMIT, STRICT_OFFSET, Contract, Parameter, Route, page
from service.http.errors import bad_request, json_response
from service.http.parameters import query_instant, query_number, query_text
from service.http.reading import DEFAULT_LIMIT, LARGEST_LIMIT
from service.store.audit import (
    AuditFilter,
    AuditPlace,
    LoggedChange,
    count_audit_entries,
    find_audit_place,
    list_audit_entries,
)
from service.store.postgres import Connection, Store

AUDIT_STORE = web.AppKey("audit_store", Store)

_TEXT_FILTERS = {
    "actor": "only what the token of this name changed",
    "action": "only this action, such as team.update",
    "entity_type": "only entities of this type, such as team",
    "entity_id": "only the entity with this id; quicker with its entity_type",
    "tenant_id": "only what belongs to this tenant, such as customer:<id>",
    "request_id": "only what the request of this id changed",
}


async def list_audit_logs(request: web.Request) -> web.Response:
    """Newest first. A page asked for with `before_id` costs the same however deep it is, and is not counted."""
    narrowed, before_id = _filter(request), _before_id(request)
    limit, offset = _limit(request), query_number(request, "offset", negative=False) or 0
    async with request.app[AUDIT_STORE].snapshot() as snapshot:
        after = await _place(snapshot, before_id)
        entries = await list_audit_entries(snapshot, narrowed, after=after, limit=limit, offset=offset)
        total = {} if before_id else {"total_count": await count_audit_entries(snapshot, narrowed)}
    body = {"audit_logs": entries, "count": len(entries), **total, "limit": limit, "offset": offset}
    return json_response(msgspec.json.encode(body))


def _filter(request: web.Request) -> AuditFilter:
    narrowed = AuditFilter(
        **{name: query_text(request, name) for name in _TEXT_FILTERS},
        from_at=query_instant(request, "from"),
        to_at=query_instant(request, "to"),
    )
    if narrowed.from_at and narrowed.to_at and narrowed.from_at > narrowed.to_at:
        raise bad_request("query parameter 'from' must not be after 'to'")
    return narrowed


def _limit(request: web.Request) -> int:
    return min(query_number(request, "limit", negative=False) or DEFAULT_LIMIT, LARGEST_LIMIT)


def _before_id(request: web.Request) -> int | None:
    before_id = query_number(request, "before_id")
    if before_id is not None and before_id < 1:
        raise bad_request("query parameter 'before_id' must be the id of an entry")
    return before_id


async def _place(snapshot: Connection, before_id: int | None) -> AuditPlace:
    place = AuditPlace() if before_id is None else await find_audit_place(snapshot, before_id)
    if place is None:
        raise bad_request("query parameter 'before_id' must be the id of an entry")
    return place


_LIST = Contract(
    says="List what was changed, newest first",
    query=(
        *(Parameter(name, "text", says) for name, says in _TEXT_FILTERS.items()),
        Parameter("from", "instant", "only from this RFC 3339 time on"),
        Parameter("to", "instant", "only before this RFC 3339 time"),
        STRICT_LIMIT,
        STRICT_OFFSET,
        Parameter(
            "before_id",
            "number",
            "only what is older than the entry of this id: the page after it",
            narrowed={"minimum": 1},
        ),
    ),
    # Not counted for a page after another.
    answer=page("audit_logs", LoggedChange) | {"total_count": int | UnsetType},
)

ROUTES = (Route("GET", f"{API}/audit-logs", "admin", list_audit_logs, _LIST),)
