"""What became of a call that was asked for, and its JSON."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from service.domain.decisions import STATUSES, DecisionType, Standing
from service.domain.documents import FieldWarning
from service.domain.money import nanousd_to_json
from service.domain.policy import Holder, Limit
from service.domain.windows import from_us

_US_PER_SECOND = 1_000_000
_encode = msgspec.json.Encoder().encode


class EligibleProvider(msgspec.Struct, frozen=True, gc=False):
    """`key_ids` are all provider keys it may use, `["*"]` for every one; `blocked_by` the limit it has exhausted."""

    provider: str
    weight: float | None
    key_ids: Sequence[str]
    blocked_by: Limit | None = None


class Verdict(msgspec.Struct, kw_only=True, gc=False):
    """`standings` are all limits on the path, before this call; an allowed one holds its estimate on each."""

    decision: DecisionType
    request_id: str
    now_us: int
    message: str = ""
    standings: Sequence[Standing] = ()
    providers: Sequence[EligibleProvider] = ()
    provider: str | None = None
    model: str | None = None
    virtual_key_id: str | None = None
    team_id: str | None = None
    customer_id: str | None = None
    degraded: str | None = None
    expires_us: int | None = None
    warnings: Sequence[FieldWarning] = ()

    @property
    def allowed(self) -> bool:
        return self.decision == "allow"


def verdict_json(verdict: Verdict) -> bytes:
    """Built from bytes: this is the answer every call waits for."""
    allowed = verdict.allowed
    standings = [_standing_json(each, allowed=allowed, now_us=verdict.now_us) for each in verdict.standings]
    violations = [
        text
        for each, text in zip(verdict.standings, standings, strict=True)
        if not allowed and each.is_violated and not each.limit.shadow
    ]
    return b"".join(
        (
            b'{"allowed":%s,"decision":"%s","status_code":%d,"request_id":%s,"message":%s,"violations":['
            % (
                b"true" if allowed else b"false",
                verdict.decision.encode(),
                STATUSES[verdict.decision],
                _encode(verdict.request_id),
                _encode(verdict.message),
            ),
            b",".join(violations),
            b'],"limits":[',
            b",".join(standings),
            b'],"eligible_providers":[',
            b",".join(map(_provider_json, verdict.providers)),
            b"]",
            _rest_json(verdict),
        )
    )


def _rest_json(verdict: Verdict) -> bytes:
    parts = [
        b',"%s":%s' % (name, _encode(value))
        for name, value in (
            (b"provider", verdict.provider),
            (b"model", verdict.model),
            (b"virtual_key_id", verdict.virtual_key_id),
            (b"team_id", verdict.team_id),
            (b"customer_id", verdict.customer_id),
            (b"degraded", verdict.degraded),
        )
        if value is not None
    ]
    if verdict.expires_us is not None:
        parts.append(b',"expires_at":%s' % _instant_json(verdict.expires_us))
    if verdict.warnings:
        parts.append(b',"warnings":%s' % _encode(verdict.warnings))
    return b"".join(parts) + b"}"


def _standing_json(standing: Standing, *, allowed: bool, now_us: int) -> bytes:
    """`held` and `remaining` are of after this call was admitted."""
    limit = standing.limit
    held = standing.held + (standing.requested or 0) if allowed else standing.held
    requested = standing.requested
    show = nanousd_to_json if limit.kind == "budget" else _number
    return b'%s"limit":{"id":%s,"kind":"%s","max":%s,"used":%s,"held":%s,"remaining":%s%s%s%s}}' % (
        _holder_json(limit.holder),
        _encode(limit.id),
        limit.kind.encode(),
        show(limit.max_now),
        show(standing.used),
        show(held),
        show(max(limit.max_now - standing.used - held, 0)),
        b"" if requested is None else b',"requested":%s' % show(requested),
        b"" if limit.rule is None else _window_json(limit.window_start_us, limit.window_end_us, now_us=now_us),
        b',"shadow":true,"would_refuse":%s' % (b"true" if standing.is_violated else b"false") if limit.shadow else b"",
    )


def _window_json(start_us: int, end_us: int, *, now_us: int) -> bytes:
    return b"%s%d" % (_window_prefix(start_us, end_us), max(-((now_us - end_us) // _US_PER_SECOND), 1))


@lru_cache(maxsize=4096)
def _window_prefix(start_us: int, end_us: int) -> bytes:
    return b',"window_start":%s,"resets_at":%s,"retry_after":' % (_instant_json(start_us), _instant_json(end_us))


@lru_cache(maxsize=4096)
def _holder_json(holder: Holder) -> bytes:
    entity = {"type": holder.type, "id": holder.id, "name": holder.name}
    return b'{"level":"%s","entity":%s,' % (holder.level.encode(), _encode(entity))


def _provider_json(provider: EligibleProvider) -> bytes:
    shown: dict[str, Any] = {
        "provider": provider.provider,
        "weight": provider.weight,
        "key_ids": provider.key_ids,
    }
    blocked_by = provider.blocked_by
    if blocked_by is not None:
        shown["blocked_by"] = {"id": blocked_by.id, "kind": blocked_by.kind, "level": blocked_by.holder.level}
    return _encode(shown)


def _number(value: int) -> bytes:
    return b"%d" % value


def _instant_json(instant_us: int) -> bytes:
    return _encode(from_us(instant_us))
