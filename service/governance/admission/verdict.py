"""What became of a call that was asked for, and its JSON."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import UNSET, Raw, UnsetType

from service.domain.decisions import STATUSES, DecisionType, Standing
from service.domain.documents import FieldWarning
from service.domain.money import nanousd_to_json as _usd
from service.domain.policy import Level, LimitKind
from service.domain.windows import from_us
from service.governance.admission.reserve import Reserved
from service.governance.admission.texts import number_json

_US_PER_SECOND = 1_000_000
_encode = msgspec.json.Encoder().encode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_NO_LIMITS = Raw(b"[]")


class BlockedBy(msgspec.Struct, frozen=True, gc=False):
    """A limit that has no room."""

    id: str
    kind: LimitKind
    level: Level


class EligibleProvider(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """`key_ids` are all provider keys it may use, `["*"]` for every one; `blocked_by` the limit it has exhausted."""

    provider: str
    weight: float | None
    key_ids: Sequence[str]
    blocked_by: BlockedBy | UnsetType = UNSET


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


class _Shown(msgspec.Struct, omit_defaults=True, gc=False):
    """A verdict as it is answered."""

    allowed: bool
    decision: DecisionType
    status_code: int
    request_id: str
    message: str
    violations: Raw
    limits: Raw
    eligible_providers: Sequence[EligibleProvider]
    provider: str | None = None
    model: str | None = None
    virtual_key_id: str | None = None
    team_id: str | None = None
    customer_id: str | None = None
    degraded: str | None = None
    expires_at: datetime | None = None
    warnings: Sequence[FieldWarning] | None = None


def verdict_json(verdict: Verdict) -> bytes:
    """The answer every call waits for: its limits are formats that are filled in."""
    allowed, violations = verdict.allowed, _NO_LIMITS
    parts = [_limits_json(part, allowed=allowed, now_us=verdict.now_us) for part in verdict.reserved]
    limits = Raw(b"[%b]" % b",".join([part for part in parts if part]))
    if not allowed:
        pairs = zip(verdict.standings(), _decode_items(limits), strict=True)
        violated = [item for standing, item in pairs if standing.is_violated and not standing.limit.shadow]
        violations = Raw(_encode(violated))
    return _encode(
        _Shown(
            allowed,
            verdict.decision,
            STATUSES[verdict.decision],
            verdict.request_id,
            verdict.message,
            violations,
            limits,
            verdict.providers,
            verdict.provider,
            verdict.model,
            verdict.virtual_key_id,
            verdict.team_id,
            verdict.customer_id,
            verdict.degraded,
            None if verdict.expires_us is None else from_us(verdict.expires_us),
            verdict.warnings or None,
        )
    )


def _limits_json(reserved: Reserved, *, allowed: bool, now_us: int) -> bytes:
    """One after the other. `held` and `remaining` are of after this call was admitted."""
    amounts, numbers = reserved.asked.amounts, iter(reserved.numbers)
    requested = {kind: _requested_json(kind, amount) for kind, amount in amounts.items()}
    values: list[int | bytes] = []
    formats: list[bytes] = []
    # A call that is asked for again may meet limits it did not meet at first.
    for (limit, kind, is_windowed, is_shadow, _, end_us, most, shown), used, held in zip(
        reserved.limits, numbers, numbers, strict=False
    ):
        amount = amounts[kind]
        after = held + amount if allowed and amount else held
        left = most - used - after if most > used + after else 0
        if kind == "budget":
            values += (_usd(used), _usd(after), _usd(left), requested[kind])
        else:
            values += (used, after, left, requested[kind])
        if is_windowed:
            # Seconds, rounded up.
            values.append(-((now_us - end_us) // _US_PER_SECOND))
        if is_shadow:
            would_refuse = Standing(limit, used, held, amount, most, end_us).is_violated
            values.append(b"true" if would_refuse else b"false")
        formats.append(shown)
    return b",".join(formats) % tuple(values)


def _requested_json(kind: LimitKind, amount: int | None) -> bytes:
    return b"" if amount is None else b',"requested":%b' % number_json(kind, amount)
