"""The ledger: every acknowledged use of a virtual key, and what it was charged to."""

from typing import Annotated, Any, get_args

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Raw, UnsetType

from service.domain.meters import limit_of_meter
from service.domain.money import nanousd_to_json
from service.domain.usage import Charge, UsageStatus
from service.domain.usage_reports import EventCharge, LedgerEvent
from service.domain.windows import from_us, to_us
from service.governance.usage_ledger import read_event_page
from service.http.contract import API, Contract, Parameter, Route
from service.http.cursors import CURSOR, encode_cursor, query_cursor
from service.http.errors import json_response
from service.http.parameters import query_choice, query_text
from service.http.usage_reports import LIMIT, page_limit, query_period
from service.store.postgres import Store
from service.store.usage_events import EventFilter, EventPlace, RecordedEvent

LEDGER_STORE = web.AppKey("ledger_store", Store)

_TEXT_FILTERS = {
    "customer_id": "only events of this customer, its teams' included",
    "team_id": "only events of this team",
    "virtual_key_id": "only events of this virtual key",
    "provider": "only events of this provider",
    "model": "only events of this model",
    "request_id": "only the event of this request",
}


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """An EventPlace: microseconds since 1970, up to the year 9000, and an id."""

    recorded_us: Annotated[int, Meta(ge=0, le=222_000_000_000_000_000)]
    id: Annotated[int, Meta(ge=0, le=2**63 - 1)]


async def list_usage_events(request: web.Request) -> web.Response:
    """Newest first, with cursors: a page may hold fewer than asked for and still not be the last."""
    from_at, to_at = query_period(request)
    narrowed = EventFilter(
        **{name: query_text(request, name) for name in _TEXT_FILTERS},
        status=query_choice(request, "status", get_args(UsageStatus)),
        from_at=from_at,
        to_at=to_at,
    )
    cursor, limit = query_cursor(request, _Cursor), page_limit(request)
    before = None if cursor is None else EventPlace(from_us(cursor.recorded_us), cursor.id)
    page = await read_event_page(request.app[LEDGER_STORE], narrowed, before, limit=limit)
    following = page.following
    next_cursor = following and encode_cursor(_Cursor(to_us(following.recorded_at), following.id))
    body = {"events": list(map(_shown, page.events)), "count": len(page.events), "limit": limit}
    return json_response(msgspec.json.encode(body | ({"next_cursor": next_cursor} if next_cursor else {})))


def _shown(event: RecordedEvent) -> LedgerEvent:
    return LedgerEvent(
        id=event.id,
        request_id=event.request_id,
        recorded_at=event.recorded_at,
        occurred_at=event.occurred_at,
        customer_id=event.customer_id,
        team_id=event.team_id,
        virtual_key_id=event.virtual_key_id,
        provider=event.provider,
        model=event.model,
        status=event.status,
        input_tokens=event.input_tokens,
        output_tokens=event.output_tokens,
        cached_input_tokens=event.cached_input_tokens,
        total_tokens=event.input_tokens + event.output_tokens,
        cost=_usd(event.cost_nanousd),
        priced=event.priced,
        metadata=UNSET if event.metadata is None else event.metadata,
        charges=list(map(_charge, event.charges)),
    )


def _charge(charge: Charge) -> EventCharge:
    kind, limit_id = limit_of_meter(charge.meter_id)
    return EventCharge(
        meter=charge.meter_id,
        limit_id=limit_id,
        kind=kind,
        epoch=charge.epoch,
        window_start=charge.window_start,
        amount=_usd(charge.amount) if kind == "budget" else charge.amount,
    )


def _usd(amount_nanousd: int) -> Any:
    return Raw(nanousd_to_json(amount_nanousd))


_LIST = Contract(
    says="List the events of the ledger, newest first, with what each was charged to",
    query=(
        *(Parameter(name, "text", says) for name, says in _TEXT_FILTERS.items()),
        Parameter("status", "text", "only events of this status", choices=get_args(UsageStatus)),
        Parameter("from", "instant", "only what was recorded from this RFC 3339 time on"),
        Parameter("to", "instant", "only what was recorded before this RFC 3339 time"),
        LIMIT,
        CURSOR,
    ),
    answer={"events": list[LedgerEvent], "count": int, "limit": int, "next_cursor": str | UnsetType},
)

ROUTES = (Route("GET", f"{API}/usage/events", "read", list_usage_events, _LIST),)
