"""Calls of virtual keys: asked for before they are made, reported after, or released."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET, Raw, UnsetType

from service.domain.documents import FieldWarning, converted, unknown_fields
from service.domain.entities import Instant
from service.domain.inputs.calls import (
    MOST_EVENTS,
    AuthorizeInput,
    ReleaseInput,
    UsageInput,
    check_request_id,
    check_usage,
)
from service.domain.money import nanousd_to_json
from service.domain.refusals import conflict, invalid
from service.governance.admission.authorize import Admission
from service.governance.admission.verdict import EligibleProvider, verdict_json
from service.governance.settlement.settle import Report, Settlement
from service.http.body import REFUSE_UNKNOWN_FIELDS, decode_document, read_raw
from service.http.contract import API, Contract, Route
from service.http.errors import ApiError, json_response

ADMISSION = web.AppKey("admission", Admission)
SETTLEMENT = web.AppKey("settlement", Settlement)

T = TypeVar("T", bound=msgspec.Struct)


class _KnownCall(AuthorizeInput, forbid_unknown_fields=True):
    """Read in one go; what has a field nobody knows is looked at again."""


class _KnownEvent(UsageInput, forbid_unknown_fields=True):
    pass


class _KnownRelease(ReleaseInput, forbid_unknown_fields=True):
    pass


_decode_authorize = msgspec.json.Decoder(_KnownCall).decode
_decode_event = msgspec.json.Decoder(_KnownEvent).decode
_decode_events = msgspec.json.Decoder(list[_KnownEvent]).decode
_decode_release = msgspec.json.Decoder(_KnownRelease).decode
_NOT_AS_EXPECTED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


async def authorize(request: web.Request) -> web.Response:
    """May this call be made? It holds its estimate on every limit on its path then."""
    raw = await read_raw(request)
    warnings: list[FieldWarning] = []
    given: AuthorizeInput
    try:
        given = _decode_authorize(raw)
    except _NOT_AS_EXPECTED:
        given = _understood(request, decode_document(raw), AuthorizeInput, warnings)
    check_request_id(given.request_id)
    verdict = await request.app[ADMISSION].authorize(given)
    verdict.warnings = warnings
    return json_response(verdict_json(verdict))


async def report_usage(request: web.Request) -> web.Response:
    """What calls used, one event or an array of them: durable once this answers 200."""
    raw = await read_raw(request)
    warnings: list[FieldWarning] = []
    events, is_array = _events(request, raw, warnings)
    for number, event in enumerate(events):
        check_usage(event, f"$[{number}]" if is_array else "$")
    reports = await request.app[SETTLEMENT].settle(events, in_array=is_array)
    if is_array:
        return json_response(_reports_json(reports, warnings))
    return json_response(_single_json(reports[0], warnings))


async def release(request: web.Request) -> web.Response:
    """The call was not made: what it held is given back, nothing is booked."""
    raw = await read_raw(request)
    warnings: list[FieldWarning] = []
    given: ReleaseInput
    try:
        given = _decode_release(raw)
    except _NOT_AS_EXPECTED:
        given = _understood(request, decode_document(raw), ReleaseInput, warnings)
    released = await request.app[SETTLEMENT].release(given.request_id)
    answer: dict[str, Any] = {"request_id": given.request_id, "released": released}
    return json_response(msgspec.json.encode(answer | ({"warnings": warnings} if warnings else {})))


def _events(request: web.Request, raw: bytes, warnings: list[FieldWarning]) -> tuple[Sequence[UsageInput], bool]:
    is_array = raw.lstrip()[:1] == b"["
    events: Sequence[UsageInput]
    try:
        events = _decode_events(raw) if is_array else [_decode_event(raw)]
    except _NOT_AS_EXPECTED:
        document = decode_document(raw)
        items = document if is_array else [document]
        paths = (f"$[{number}]" if is_array else "$" for number in range(len(items)))
        events = [
            _understood(request, item, UsageInput, warnings, path)
            for item, path in zip(items[: MOST_EVENTS + 1], paths, strict=False)
        ]
    if is_array and not 1 <= len(events) <= MOST_EVENTS:
        raise invalid("$", f"an array holds 1 to {MOST_EVENTS} events")
    return events, is_array


def _understood(request: web.Request, document: Any, kind: type[T], warnings: list[FieldWarning], path: str = "$") -> T:
    """What of the document has a place in `kind`; the rest is warned of, or refused."""
    found = unknown_fields(document, kind, path)
    refuse: bool = request.app[REFUSE_UNKNOWN_FIELDS]
    if found and refuse:
        raise invalid(found[0].path, "unknown field" + found[0].suggestion)
    warnings += found
    if isinstance(document, dict):
        document = {name: value for name, value in document.items() if name in kind.__struct_fields__}
    return converted(document, kind, path)


def _single_json(report: Report, warnings: Sequence[FieldWarning]) -> bytes:
    if report.status == "conflict":
        raise conflict("Another usage was reported under this request_id", path="$.request_id")
    if report.status == "unknown_key":
        raise ApiError(404, "Virtual key not found", path="$.virtual_key")
    return msgspec.json.encode(_shown(report) | ({"warnings": warnings} if warnings else {}))


def _reports_json(reports: Sequence[Report], warnings: Sequence[FieldWarning]) -> bytes:
    counts = {"recorded": 0, "duplicate": 0, "conflict": 0, "unknown_key": 0}
    for report in reports:
        counts[report.status] += 1
    answer: dict[str, Any] = {"results": [_shown(report) for report in reports], **counts}
    return msgspec.json.encode(answer | ({"warnings": warnings} if warnings else {}))


def _shown(report: Report) -> dict[str, Any]:
    shown: dict[str, Any] = {"request_id": report.request_id, "status": report.status}
    if report.status in ("recorded", "duplicate"):
        shown |= {"cost": Raw(nanousd_to_json(report.cost_nanousd)), "priced": report.priced}
    return shown | ({"late": True} if report.late else {})


class LimitShown(msgspec.Struct, kw_only=True):
    """Money in US dollars; `requested` is what the call asks for, `retry_after` seconds until the window ends."""

    id: str
    kind: str
    max: float
    used: float
    held: float
    remaining: float
    requested: float | UnsetType = UNSET
    window_start: Instant | UnsetType = UNSET
    resets_at: Instant | UnsetType = UNSET
    retry_after: int | UnsetType = UNSET
    shadow: bool | UnsetType = UNSET
    would_refuse: bool | UnsetType = UNSET


class EntityShown(msgspec.Struct):
    type: str
    id: str
    name: str


class StandingShown(msgspec.Struct):
    level: str
    entity: EntityShown
    limit: LimitShown


class ReportShown(msgspec.Struct, kw_only=True):
    request_id: str
    status: str
    cost: float | UnsetType = UNSET
    priced: bool | UnsetType = UNSET
    late: bool | UnsetType = UNSET


_WARNINGS: dict[str, Any] = {"warnings": list[FieldWarning] | UnsetType}
_OPTIONAL_TEXTS = ("provider", "model", "virtual_key_id", "team_id", "customer_id", "degraded")
_VERDICT: dict[str, Any] = {
    "allowed": bool,
    "decision": str,
    "status_code": int,
    "request_id": str,
    "message": str,
    "violations": list[StandingShown],
    "limits": list[StandingShown],
    "eligible_providers": list[EligibleProvider],
    **dict.fromkeys(_OPTIONAL_TEXTS, str | UnsetType),
    "expires_at": Instant | UnsetType,
    **_WARNINGS,
}
_USAGE: dict[str, Any] = {
    "request_id": str | UnsetType,
    "status": str | UnsetType,
    "cost": float | UnsetType,
    "priced": bool | UnsetType,
    "late": bool | UnsetType,
    "results": list[ReportShown] | UnsetType,
    **dict.fromkeys(("recorded", "duplicate", "conflict", "unknown_key"), int | UnsetType),
    **_WARNINGS,
}
_AUTHORIZE = Contract(says="May this call be made?", body=AuthorizeInput, answer=_VERDICT, refusals=(409,))
_REPORT = Contract(
    says="Report what calls used; one event, or an array of up to 1000",
    body=UsageInput,
    answer=_USAGE,
    refusals=(404, 409),
)
_RELEASE = Contract(
    says="Give back what a call held that was not made",
    body=ReleaseInput,
    answer={"request_id": str, "released": bool, **_WARNINGS},
)

ROUTES = (
    Route("POST", f"{API}/authorize", "gateway", authorize, _AUTHORIZE),
    Route("POST", f"{API}/usage", "gateway", report_usage, _REPORT),
    Route("POST", f"{API}/release", "gateway", release, _RELEASE),
)
