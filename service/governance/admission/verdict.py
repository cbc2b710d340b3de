"""What became of a call that was asked for, and its JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from service.domain.decisions import STATUSES, DecisionType, Standing
from service.domain.documents import FieldWarning
from service.domain.money import nanousd_to_json
from service.domain.policy import Limit
from service.domain.windows import from_us
from service.governance.admission.reserve import Reserved

_US_PER_SECOND = 1_000_000
_encode = msgspec.json.Encoder().encode


class EligibleProvider(msgspec.Struct, frozen=True, gc=False):
    """`key_ids` are all provider keys it may use, `["*"]` for every one; `blocked_by` the limit it has exhausted."""

    provider: str
    weight: float | None
    key_ids: Sequence[str]
    blocked_by: Limit | None = None


class Verdict(msgspec.Struct, kw_only=True, gc=False):
    """`reserved` has all limits on the path as they stood before this call; once allowed, it holds on each of them."""

    decision: DecisionType
    request_id: str
    now_us: int
    message: str = ""
    reserved: Sequence[Reserved] = ()
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

    def standings(self) -> list[Standing]:
        return [standing for part in self.reserved for standing in part.standings()]


def verdict_json(verdict: Verdict) -> bytes:
    """Built from bytes: this is the answer every call waits for."""
    allowed = verdict.allowed
    limits = [text for part in verdict.reserved for text in _limits_json(part, allowed=allowed, now_us=verdict.now_us)]
    violations: list[bytes] = []
    if not allowed:
        violations = [
            text
            for standing, text in zip(verdict.standings(), limits, strict=False)
            if standing.is_violated and not standing.limit.shadow
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
            b",".join(limits),
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


def _limits_json(reserved: Reserved, *, allowed: bool, now_us: int) -> Iterator[bytes]:
    """`held` and `remaining` are of after this call was admitted."""
    amounts = reserved.asked.amounts
    numbers = iter(reserved.numbers)
    for text, used, held in zip(reserved.limits, numbers, numbers, strict=False):
        limit = text.limit
        amount = amounts[limit.kind]
        if limit.shadow:
            would_refuse = Standing(limit, used, held, amount, text.max).is_violated
            tail = b',"shadow":true,"would_refuse":true}}' if would_refuse else b',"shadow":true,"would_refuse":false}}'
        else:
            tail = b"}}"
        if allowed and amount:
            held += amount  # noqa: PLW2901  # as it is after this call
        left = text.max - used - held
        if text.window:
            # Seconds, rounded up.
            tail = b"%s%d%s" % (text.window, -((now_us - text.end_us) // _US_PER_SECOND), tail)
        left = max(left, 0)
        if limit.kind == "budget":
            yield b'%s%s,"held":%s,"remaining":%s%s%s' % (
                text.shown,
                nanousd_to_json(used),
                nanousd_to_json(held),
                nanousd_to_json(left),
                b"" if amount is None else b',"requested":%s' % nanousd_to_json(amount),
                tail,
            )
        elif amount is None:
            yield b'%s%d,"held":%d,"remaining":%d%s' % (text.shown, used, held, left, tail)
        else:
            yield b'%s%d,"held":%d,"remaining":%d,"requested":%d%s' % (text.shown, used, held, left, amount, tail)


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


def _instant_json(instant_us: int) -> bytes:
    return _encode(from_us(instant_us))
