"""Reports of usage: what customers, teams, virtual keys, providers and models used, and when."""

from datetime import datetime, timedelta
from typing import Annotated, Any, get_args

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Raw, UnsetType

from service.domain.entities import Instant
from service.domain.money import nanousd_to_json
from service.domain.usage_parts import Hours, Interval, whole_hours
from service.domain.usage_reports import GROUP_NAMES, GroupName, UsageRow, UsageSums
from service.domain.windows import from_us, to_us
from service.governance.usage_reports import UsagePage, UsagePlace, UsageQuery, UsageReports
from service.http.contract import API, Contract, Parameter, Route
from service.http.cursors import CURSOR, CursorText, encode_cursor, query_cursor
from service.http.errors import bad_request, json_response
from service.http.parameters import query_choice, query_instant, query_number, query_text
from service.store.usage_sums import Group, GroupSums, Sums, UsageFilter

USAGE_REPORTS = web.AppKey("usage_reports", UsageReports)

DEFAULT_LIMIT = 100
LARGEST_LIMIT = 1000
_DEFAULT_PERIOD = timedelta(days=30)
_US_PER_HOUR = 3_600_000_000
# Hours since 1970, up to the year 9000.
_Hour = Annotated[int, Meta(ge=0, le=61_700_000)]
_FILTERS = {
    "customer_id": "only usage of this customer, its teams' included",
    "team_id": "only usage of this team",
    "virtual_key_id": "only usage of this virtual key",
    "provider": "only usage of this provider",
    "model": "only usage of this model",
}


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The hours of the whole report, and a UsagePlace in it."""

    from_hour: _Hour
    to_hour: _Hour
    start: _Hour
    after: Annotated[tuple[CursorText, ...], Meta(min_length=5, max_length=5)] | None
    first_virtual_key_id: CursorText


async def list_usage(request: web.Request) -> web.Response:
    """Sums by group and part of time, in order. A cursor goes on with the time the first page was of."""
    cursor = query_cursor(request, _Cursor)
    reports = request.app[USAGE_REPORTS]
    query = UsageQuery(
        hours=_hours(request, reports.now()) if cursor is None else _hours_between(cursor.from_hour, cursor.to_hour),
        narrowed=UsageFilter(**{name: query_text(request, name) for name in _FILTERS}),
        group_by=_group_by(request),
        interval=query_choice(request, "interval", get_args(Interval)),
    )
    limit = page_limit(request)
    page = await reports.page(query, _place(cursor), limit=limit)
    return json_response(msgspec.json.encode(_body(query, page, limit)))


def page_limit(request: web.Request) -> int:
    return min(query_number(request, "limit", negative=False) or DEFAULT_LIMIT, LARGEST_LIMIT)


def query_period(request: web.Request) -> tuple[datetime | None, datetime | None]:
    """`from` and `to`; None for one that is left out."""
    from_at, to_at = query_instant(request, "from"), query_instant(request, "to")
    if from_at and to_at and from_at > to_at:
        raise bad_request("query parameter 'from' must not be after 'to'")
    return from_at, to_at


def _hours(request: web.Request, now: datetime) -> Hours:
    from_at, to_at = query_period(request)
    if from_at is None:
        # Before the first years of the calendar there is nothing to go back to.
        return whole_hours((max(to_at, from_us(0)) if to_at else now) - _DEFAULT_PERIOD, to_at or now)
    return whole_hours(from_at, to_at or max(now, from_at))


def _hours_between(from_hour: int, to_hour: int) -> Hours:
    return Hours(from_us(from_hour * _US_PER_HOUR), from_us(to_hour * _US_PER_HOUR))


def _group_by(request: web.Request) -> frozenset[GroupName]:
    names = (query_text(request, "group_by") or "").split(",")
    if names == [""]:
        return frozenset()
    if not set(names) <= set(GROUP_NAMES):
        raise bad_request(f"query parameter 'group_by' must be a list of: {', '.join(GROUP_NAMES)}")
    return frozenset(name for name in GROUP_NAMES if name in names)


def _place(cursor: _Cursor | None) -> UsagePlace | None:
    if cursor is None:
        return None
    after = None if cursor.after is None else Group(**dict(zip(Group.__struct_fields__, cursor.after, strict=True)))
    return UsagePlace(from_us(cursor.start * _US_PER_HOUR), after, cursor.first_virtual_key_id)


def _body(query: UsageQuery, page: UsagePage, limit: int) -> dict[str, Any]:
    return {
        "usage": [_row(query, start, sums) for start, sums in page.rows],
        "count": len(page.rows),
        "limit": limit,
        "from": query.hours.start,
        "to": query.hours.end,
        **({} if page.totals is None else {"totals": UsageSums(**_numbers(page.totals))}),
        **({} if page.following is None else {"next_cursor": encode_cursor(_cursor(query.hours, page.following))}),
    }


def _cursor(hours: Hours, place: UsagePlace) -> _Cursor:
    from_hour, to_hour, start = (to_us(instant) // _US_PER_HOUR for instant in (hours.start, hours.end, place.start))
    after = None if place.after is None else msgspec.structs.astuple(place.after)
    return _Cursor(from_hour, to_hour, start, after, place.first_virtual_key_id)


def _row(query: UsageQuery, start: datetime, found: GroupSums) -> UsageRow:
    group, by = found.group, query.group_by
    return UsageRow(
        start=UNSET if query.interval is None else start,
        customer_id=group.customer_id or None if "customer" in by else UNSET,
        team_id=group.team_id or None if "team" in by else UNSET,
        virtual_key_id=group.virtual_key_id if "virtual_key" in by else UNSET,
        provider=group.provider if "provider" in by else UNSET,
        model=group.model if "model" in by else UNSET,
        **_numbers(found.sums),
    )


def _numbers(sums: Sums) -> dict[str, Any]:
    return {
        "requests": sums.requests,
        "errors": sums.errors,
        "input_tokens": sums.input_tokens,
        "output_tokens": sums.output_tokens,
        "cached_input_tokens": sums.cached_input_tokens,
        "total_tokens": sums.input_tokens + sums.output_tokens,
        "cost": Raw(nanousd_to_json(sums.cost_nanousd)),
    }


LIMIT = Parameter("limit", "number", "how many to answer: 100 unless told, 1000 at most", narrowed={"minimum": 0})
_GROUP = f"(?:{'|'.join(GROUP_NAMES)})"
_LIST = Contract(
    says="Sum up what was used; UTC, in whole hours. `totals` are of all pages and come with the first",
    query=(
        *(Parameter(name, "text", says) for name, says in _FILTERS.items()),
        Parameter(
            "from", "instant", "from the hour on that holds this RFC 3339 time: thirty days before `to` unless told"
        ),
        Parameter("to", "instant", "up to the end of the hour that ends at this time or holds it: now unless told"),
        Parameter(
            "group_by",
            "text",
            f"a sum for each: a list of {', '.join(GROUP_NAMES)}, with commas between",
            narrowed={"pattern": f"^(?:{_GROUP}(?:,{_GROUP})*)?$"},
        ),
        Parameter("interval", "text", "a sum for each hour, day or month", choices=get_args(Interval)),
        LIMIT,
        CURSOR,
    ),
    answer={
        "usage": list[UsageRow],
        "count": int,
        "limit": int,
        "from": Instant,
        "to": Instant,
        "totals": UsageSums | UnsetType,
        "next_cursor": str | UnsetType,
    },
)

ROUTES = (Route("GET", f"{API}/usage", "read", list_usage, _LIST),)
