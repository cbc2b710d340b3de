"""What forward auth answers: nothing but headers when a call may go on, Bifrost's body and status when it may not."""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec
from aiohttp import web

from service.domain.decisions import STATUSES
from service.governance.admission.headroom import retry_after_seconds, tightest_headroom
from service.governance.admission.verdict import Verdict
from service.http.contract import JSON

# Of printable ASCII, all but the sign that escapes.
_SAFE = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}"
# So that the head stays within what gateways take of one, 4 KiB, in any script.
_LONGEST_MESSAGE = 256


class Refused(msgspec.Struct, frozen=True):
    """Why a call may not go on, by the wire's words."""

    status: int
    type: str
    message: str
    headers: Mapping[str, str] = {}


def allowed_response(verdict: Verdict, *, overhead_ms: float) -> web.Response:
    """What is not known of a call is there and empty: a gateway that copies headers must not keep its client's."""
    headers = {
        "X-Governance-Request-Id": _header_text(verdict.request_id),
        "X-Governance-Virtual-Key-Id": _header_text(verdict.virtual_key_id),
        "X-Governance-Team-Id": _header_text(verdict.team_id),
        "X-Governance-Customer-Id": _header_text(verdict.customer_id),
        "X-Governance-Provider": _header_text(verdict.provider),
        "X-Governance-Overhead-Ms": f"{overhead_ms:.3f}",
        **_rate_limits(verdict),
    }
    if verdict.degraded is not None:
        headers["X-Governance-Degraded"] = verdict.degraded
    return web.Response(headers=headers)


def refusal_of_verdict(verdict: Verdict) -> Refused:
    headers = {"X-Governance-Request-Id": _header_text(verdict.request_id), **_rate_limits(verdict)}
    retry_after = retry_after_seconds(verdict)
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if verdict.degraded is not None:
        headers["X-Governance-Degraded"] = verdict.degraded
    return Refused(STATUSES[verdict.decision], verdict.decision, verdict.message, headers)


def refused_response(refusal: Refused, deny_status: int | None) -> web.Response:
    """In headers too: some gateways read nothing else of a refusal."""
    body = {
        "is_bifrost_error": False,
        "type": refusal.type,
        "status_code": refusal.status,
        "error": {"type": refusal.type, "message": refusal.message},
        "extra_fields": {},
    }
    headers = {
        "X-Governance-Status": str(refusal.status),
        "X-Governance-Reason": refusal.type,
        "X-Governance-Message": _header_text(refusal.message[:_LONGEST_MESSAGE]),
        **refusal.headers,
    }
    return web.Response(
        body=msgspec.json.encode(body), status=deny_status or refusal.status, headers=headers, content_type=JSON
    )


def _rate_limits(verdict: Verdict) -> dict[str, str]:
    """As draft-ietf-httpapi-ratelimit-headers has them, and as OpenAI does."""
    headers: dict[str, str] = {}
    policies: list[str] = []
    limits: list[str] = []
    for kind in ("requests", "tokens"):
        room = tightest_headroom(verdict, kind)
        if room is None:
            continue
        unit = "" if kind == "requests" else f';qu="{kind}"'
        policies.append(f'"{kind}";q={room.limit}{unit};w={room.window_seconds}')
        limits.append(f'"{kind}";r={room.remaining};t={room.resets_in_seconds}')
        headers[f"X-RateLimit-Limit-{kind.title()}"] = str(room.limit)
        headers[f"X-RateLimit-Remaining-{kind.title()}"] = str(room.remaining)
        headers[f"X-RateLimit-Reset-{kind.title()}"] = f"{room.resets_in_seconds}s"
    if limits:
        headers["RateLimit-Policy"], headers["RateLimit"] = ", ".join(policies), ", ".join(limits)
    return headers


def _header_text(text: str | None) -> str:
    """As it is, where a header can hold it; else escaped as in a URI."""
    if text is None:
        return ""
    return text if text.isascii() and text.isprintable() and "%" not in text else quote(text, safe=_SAFE)
