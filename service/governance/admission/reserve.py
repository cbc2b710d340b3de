"""Ask Redis to reserve a call on the limits of one tenant, and do what it takes to get an answer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Literal

import msgspec

from service.counters.batching import ScriptBatcher
from service.counters.client import CountersUnavailableError
from service.counters.holds import AskedHold, Settled, asked_amount, authorize, note_holding, read_holds, settle
from service.domain.decisions import Standing
from service.domain.meters import Meter, Tenant
from service.domain.policy import Limit, LimitKind
from service.domain.windows import from_us
from service.governance.admission.texts import LimitText, text_of
from service.governance.tree.usage import Usage
from service.store.postgres import StoreUnavailableError

# Cold, ahead and overdue once each, and once more for what changed meanwhile.
_MAX_ATTEMPTS = 5


class StalePolicyError(Exception):
    """A counter of the tenant is of a newer epoch than the policy at hand."""

    def __init__(self, tenant_id: str) -> None:
        super().__init__(tenant_id)
        self.tenant_id = tenant_id


class TakenRequestIdError(Exception):
    """The request id is another call's, or was settled, released or has expired."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One call. `amounts` are what it asks for of each kind of limit; None is any room at all."""

    request_id: str
    fingerprint: str
    details: str
    now_us: int
    expires_us: int
    amounts: Mapping[LimitKind, int | None]
    reserve: bool = True


class Reserved(msgspec.Struct, frozen=True, gc=False):
    """Where the limits stand: `numbers` are used, held, used, held, … before this call.

    `repeated`: the call held already, by these `details`, and stands as it was first told.
    """

    outcome: Literal["ok", "refused", "repeated"]
    asked: Asked
    limits: Sequence[LimitText]
    numbers: Sequence[int]
    others: Sequence[Standing] = ()
    expires_us: int = 0
    details: str = ""

    def standings(self) -> list[Standing]:
        return _standings(self.asked, self.limits, self.numbers)


class Reserver:
    """`expire` ends the holds of a tenant that have expired, because they take room."""

    def __init__(self, batcher: ScriptBatcher, usage: Usage, *, expire: Callable[[str], Awaitable[object]]) -> None:
        self._batcher = batcher
        self._usage = usage
        self._expire = expire

    async def reserve(
        self, tenant: Tenant, asked: Asked, limits: Sequence[Limit], others: Sequence[Limit] = ()
    ) -> Reserved:
        """On all of `limits`, or on none; `others` are only looked at.

        Raises StalePolicyError, TakenRequestIdError, CountersUnavailableError, StoreUnavailableError.
        """
        now_us = asked.now_us
        for attempt in range(_MAX_ATTEMPTS):
            texts, looked_at = ([text_of(limit, now_us) for limit in some] for some in (limits, others))
            answer = await authorize(self._batcher, tenant, _asked_hold(asked, texts, looked_at))
            outcome, rest = answer.outcome, answer.rest
            if outcome == "overdue" and attempt < _MAX_ATTEMPTS - 1 and await self._end_expired(tenant.id):
                continue
            if outcome in ("ok", "refused", "overdue"):
                return _reserved("ok" if outcome == "ok" else "refused", asked, texts, looked_at, str(rest))
            if outcome == "repeated" and isinstance(rest, list):
                expires_us, details, numbers = rest
                held = _reserved("repeated", asked, texts, (), str(numbers))
                return msgspec.structs.replace(held, expires_us=int(expires_us), details=str(details))
            if outcome == "cold" and isinstance(rest, list):
                await self._load(tenant, [limit for limit in (*limits, *others) if limit.meter_id in rest], now_us)
            elif outcome == "ahead" and isinstance(rest, int):
                # Another replica's clock is ahead: the window it began is the one that counts.
                now_us = max(now_us, rest)
            elif outcome == "stale":
                raise StalePolicyError(tenant.id)
            else:
                raise TakenRequestIdError(outcome)
        raise CountersUnavailableError("the counters change faster than they are loaded")

    async def holds(self, tenant: Tenant, request_id: str) -> bool:
        """Whether the call holds something of the tenant. Raises CountersUnavailableError."""
        return bool(await read_holds(self._batcher, tenant.id, [request_id]))

    async def give_back(self, tenant: Tenant, request_id: str, *, now_us: int) -> None:
        """What a call holds of the tenant. Not being able to is no failure: it expires."""
        with suppress(CountersUnavailableError):
            await settle(self._batcher, tenant, Settled(ended=[request_id], remember=False), now_us=now_us)

    async def note(self, tenant_id: str, *, now_us: int) -> None:
        """Let whoever looks for expired holds know of the tenant. Raises CountersUnavailableError."""
        await note_holding(self._batcher, tenant_id, now_us=now_us)

    async def _end_expired(self, tenant_id: str) -> bool:
        """Whether the room they take could be given back: they are booked first, so without Postgres it cannot."""
        try:
            await self._expire(tenant_id)
        except StoreUnavailableError:
            return False
        return True

    async def _load(self, tenant: Tenant, cold: Sequence[Limit], now_us: int) -> None:
        meters = [Meter(limit.meter_id, limit.epoch, limit.rule) for limit in cold if limit.rule is not None]
        await self._usage.load_cold([(tenant, meter) for meter in meters], now=from_us(now_us))


def _asked_hold(asked: Asked, texts: Sequence[LimitText], others: Sequence[LimitText]) -> AskedHold:
    amounts = {kind: asked_amount(amount) for kind, amount in asked.amounts.items()}
    meters = [part for text in (*texts, *others) for part in (text.asked, amounts[text.limit.kind])]
    return AskedHold(
        asked.request_id,
        asked.fingerprint,
        asked.details,
        asked.now_us,
        asked.expires_us,
        asked.reserve,
        meters,
        len(texts) + len(others),
        len(texts),
    )


def _reserved(
    outcome: Literal["ok", "refused", "repeated"],
    asked: Asked,
    texts: Sequence[LimitText],
    others: Sequence[LimitText],
    answered: str,
) -> Reserved:
    numbers = [int(number) for number in answered.split()]
    of_others = _standings(asked, others, numbers[2 * len(texts) :]) if others else ()
    return Reserved(outcome, asked, texts, numbers[: 2 * len(texts)], of_others, asked.expires_us)


def _standings(asked: Asked, texts: Sequence[LimitText], numbers: Sequence[int]) -> list[Standing]:
    return [
        Standing(text.limit, used, held, asked.amounts[text.limit.kind], text.max)
        # A call that is asked for again may meet limits it did not meet at first.
        for text, used, held in zip(texts, numbers[::2], numbers[1::2], strict=False)
    ]
