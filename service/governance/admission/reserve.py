"""Ask Redis to reserve a call on the limits of one tenant, and do what it takes to get an answer."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Literal

import msgspec

from service.counters.batching import ScriptBatcher
from service.counters.client import CountersUnavailableError
from service.counters.holds import AskedHold, AskedMeter, Settled, authorize, note_holding, settle
from service.domain.decisions import Standing
from service.domain.meters import Meter, Tenant
from service.domain.policy import Limit
from service.domain.windows import from_us
from service.governance.tree.usage import Usage

# Cold, ahead and overdue once each, and once more for what changed meanwhile.
_MAX_ATTEMPTS = 5


class StalePolicyError(Exception):
    """A counter is of a newer epoch than the policy at hand."""


class TakenRequestIdError(Exception):
    """The request id is another call's, or was settled, released or has expired."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One call. `tokens` and `cost_nanousd` are estimates; None asks for any room at all."""

    request_id: str
    fingerprint: str
    details: str
    now_us: int
    expires_us: int
    tokens: int | None
    cost_nanousd: int | None
    reserve: bool = True

    def amount(self, limit: Limit) -> int | None:
        """Nothing is as good as unknown: it must find some room."""
        if limit.kind == "budget":
            return self.cost_nanousd or None
        return self.tokens or None if limit.kind == "tokens" else 1


class Reserved(msgspec.Struct, frozen=True, gc=False):
    """`repeated`: the call held already, by these `details`, and stands as it was first told."""

    outcome: Literal["ok", "refused", "repeated"]
    standings: list[Standing]
    others: list[Standing]
    expires_us: int
    details: str = ""


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
            answer = await authorize(self._batcher, tenant, _asked_hold(asked, limits, others, now_us))
            outcome, rest = answer.outcome, answer.rest
            if outcome == "overdue" and attempt < _MAX_ATTEMPTS - 1:
                await self._expire(tenant.id)
            elif outcome in ("ok", "refused", "overdue"):
                standings = _standings(asked, (*limits, *others), rest)
                return Reserved(
                    "ok" if outcome == "ok" else "refused",
                    standings[: len(limits)],
                    standings[len(limits) :],
                    asked.expires_us,
                )
            elif outcome == "repeated":
                standings = _standings(asked, limits, rest[2:])
                return Reserved("repeated", standings, [], int(rest[0]), str(rest[1]))
            elif outcome == "cold":
                await self._load(tenant, [limit for limit in (*limits, *others) if limit.meter_id in rest], now_us)
            elif outcome == "ahead":
                # Another replica's clock is ahead: the window it began is the one that counts.
                now_us = max(now_us, int(rest[0]))
            elif outcome == "stale":
                raise StalePolicyError
            else:
                raise TakenRequestIdError(outcome)
        raise CountersUnavailableError("the counters change faster than they are loaded")

    async def give_back(self, tenant: Tenant, request_id: str, *, now_us: int) -> None:
        """What a call holds of the tenant. Not being able to is no failure: it expires."""
        with suppress(CountersUnavailableError):
            await settle(self._batcher, tenant, Settled(ended=[request_id], remember=False), now_us=now_us)

    async def note(self, tenant_id: str, *, now_us: int) -> None:
        """Let whoever looks for expired holds know of the tenant. Raises CountersUnavailableError."""
        await note_holding(self._batcher, tenant_id, now_us=now_us)

    async def _load(self, tenant: Tenant, cold: Sequence[Limit], now_us: int) -> None:
        meters = [Meter(limit.meter_id, limit.epoch, limit.rule) for limit in cold if limit.rule is not None]
        await self._usage.load_cold([(tenant, meter) for meter in meters], now=from_us(now_us))


def _asked_hold(asked: Asked, limits: Sequence[Limit], others: Sequence[Limit], now_us: int) -> AskedHold:
    return AskedHold(
        asked.request_id,
        asked.fingerprint,
        asked.details,
        asked.now_us,
        asked.expires_us,
        asked.reserve,
        [_asked_meter(limit, asked, now_us) for limit in limits],
        [_asked_meter(limit, asked, now_us) for limit in others],
    )


def _asked_meter(limit: Limit, asked: Asked, now_us: int) -> AskedMeter:
    limit.turn_to(now_us)
    amount = asked.amount(limit)
    asked_for = "" if amount is None else str(amount)
    return limit.meter_id, limit.code, limit.epoch, limit.window_start_us, str(limit.max_now), asked_for


def _standings(asked: Asked, limits: Sequence[Limit], numbers: Sequence[str | int]) -> list[Standing]:
    return [
        Standing(limit, int(numbers[2 * place]), int(numbers[2 * place + 1]), asked.amount(limit))
        for place, limit in enumerate(limits)
        # A call that is asked for again may meet limits it did not meet at first.
        if 2 * place + 1 < len(numbers)
    ]
