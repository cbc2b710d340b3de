"""Ask Redis to reserve a call on the limits of one tenant, and do what it takes to get an answer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Literal

import msgspec

from service.counters.batching import ScriptBatcher
from service.counters.client import CountersUnavailableError
from service.counters.holds import (
    AskedHold,
    AskedMeters,
    Settled,
    asked_amount,
    authorize,
    note_holding,
    read_holds,
    settle,
)
from service.domain.decisions import Standing
from service.domain.meters import Meter, Tenant
from service.domain.policy import Limit, LimitKind, Limits
from service.domain.windows import from_us
from service.governance.admission.texts import LimitText, Texts
from service.governance.holds import NotedTenants
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


class Asked(msgspec.Struct, frozen=True, gc=False):
    """One call. `amounts` are what it asks for of each kind of limit; None is any room at all."""

    hold: AskedHold
    amounts: Mapping[LimitKind, int | None]


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

    def __init__(
        self,
        batcher: ScriptBatcher,
        usage: Usage,
        *,
        noted: NotedTenants,
        expire: Callable[[str], Awaitable[object]],
    ) -> None:
        self._batcher = batcher
        self._usage = usage
        self._noted = noted
        self._expire = expire
        self._texts = Texts()

    async def reserve(
        self, tenant: Tenant, asked: Asked, path: Sequence[Limits], others: Sequence[Limits] = ()
    ) -> Reserved:
        """On all limits of the path, or on none; `others` are only looked at.

        Raises StalePolicyError, TakenRequestIdError, CountersUnavailableError, StoreUnavailableError.
        """
        now_us, of = asked.hold.now_us, self._texts.of
        for attempt in range(_MAX_ATTEMPTS):
            holders = [of(limits, now_us) for limits in (*path, *others) if limits]
            texts = [text for holder in holders for text in holder.limits]
            checked = sum(map(len, path))
            meters = AskedMeters([holder.asked for holder in holders], _asked_amounts(asked, texts), checked)
            answer = await authorize(self._batcher, tenant, asked.hold, meters)
            outcome, rest = answer.outcome, answer.rest
            if outcome == "overdue" and attempt < _MAX_ATTEMPTS - 1 and await self._end_expired(tenant.id):
                continue
            if outcome in ("ok", "refused", "overdue"):
                return _reserved("ok" if outcome == "ok" else "refused", asked, texts, checked, str(rest))
            if outcome == "repeated" and isinstance(rest, list):
                expires_us, details, numbers = rest
                held = _reserved("repeated", asked, texts, checked, str(numbers))
                return msgspec.structs.replace(held, expires_us=int(expires_us), details=str(details))
            if outcome == "cold" and isinstance(rest, list):
                await self._load(tenant, [text.limit for text in texts if text.limit.meter_id in rest], now_us)
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
        """Let whoever looks for expired holds know of the tenant, now and again. Raises CountersUnavailableError."""
        if not self._noted.is_recent(tenant_id, now_us):
            await note_holding(self._batcher, tenant_id, now_us=now_us)
            self._noted.add(tenant_id, now_us)

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


def _asked_amounts(asked: Asked, texts: Sequence[LimitText]) -> list[bytes]:
    amounts = {kind: asked_amount(amount) for kind, amount in asked.amounts.items()}
    return [amounts[text.kind] for text in texts]


def _reserved(
    outcome: Literal["ok", "refused", "repeated"],
    asked: Asked,
    texts: Sequence[LimitText],
    checked: int,
    answered: str,
) -> Reserved:
    """Of what was only read, where there is any, apart from what is reserved on."""
    numbers = [int(number) for number in answered.split()]
    if checked == len(texts):
        return Reserved(outcome, asked, texts, numbers, (), asked.hold.expires_us)
    of_others = () if outcome == "repeated" else _standings(asked, texts[checked:], numbers[2 * checked :])
    return Reserved(outcome, asked, texts[:checked], numbers[: 2 * checked], of_others, asked.hold.expires_us)


def _standings(asked: Asked, texts: Sequence[LimitText], numbers: Sequence[int]) -> list[Standing]:
    return [
        Standing(text.limit, used, held, asked.amounts[text.kind], text.max, text.end_us)
        # A call that is asked for again may meet limits it did not meet at first.
        for text, used, held in zip(texts, numbers[::2], numbers[1::2], strict=False)
    ]
