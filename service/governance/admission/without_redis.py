"""Decide while Redis does not answer, as the setting says: refuse, allow, or allow from what is known here.

What is known here: usage as the ledger had it last, and the calls this worker admitted meanwhile. The room that leaves
is shared by all workers, each keeps to its part of it.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from service.domain.decisions import Standing
from service.domain.meters import Meter, used_in
from service.domain.policy import Limit
from service.domain.windows import Window, from_us
from service.governance.admission.reserve import Asked, Reserved
from service.governance.admission.texts import text_of
from service.governance.tree.usage import Usage
from service.store.postgres import StoreUnavailableError

_TRUSTED_US = 1_000_000
_MOST_METERS = 100_000
_MOST_CALLS = 100_000


class _LocalCall(msgspec.Struct, frozen=True, gc=False):
    expires_us: int
    amounts: tuple[tuple[str, int, int], ...]  # meter id, window start, amount


class _Used(msgspec.Struct, frozen=True, gc=False):
    """What the ledger said at an instant, after so many calls were over."""

    at_us: int
    doubted: int
    used: int


_NEVER = _Used(0, -1, 0)


class LocalDecisions:
    """`shares` is how many workers share a limit: replicas times workers of each."""

    def __init__(self, usage: Usage, *, policy: str, shares: int) -> None:
        self._usage = usage
        self._policy = policy
        self._shares = shares
        self._used: dict[tuple[str, int, int], _Used] = {}
        self._taken: dict[tuple[str, int], int] = {}
        self._calls: dict[str, _LocalCall] = {}
        # Of windows that nobody else counts in.
        self._window_ends: dict[tuple[str, int], int] = {}
        self._doubted = 0
        self._forget_at_us = 0

    @property
    def kept(self) -> int:
        """Of how many meters and windows something is taken."""
        return len(self._taken)

    async def decide(self, asked: Asked, limits: Sequence[Limit]) -> Reserved | None:
        """None: refused for want of counters."""
        if self._policy == "deny":
            return None
        for limit in limits:
            limit.turn_to(asked.now_us)
        if self._policy == "allow":
            return _reserved(
                "ok", asked, [Standing(limit, 0, 0, asked.amounts[limit.kind], limit.max_now) for limit in limits]
            )
        try:
            await self._load(limits, asked.now_us)
        except StoreUnavailableError:
            if any(self._key(limit) not in self._used for limit in limits if self._is_counted(limit)):
                return None
        return self._reserve(asked, limits)

    def end(self, request_id: str) -> None:
        """The call is over: what it held is given back, but for what no ledger counts."""
        call = self._calls.pop(request_id, None)
        if call is None:
            return
        # What it used is in the ledger now.
        self._doubted += 1
        for meter_id, window_start_us, amount in call.amounts:
            if (meter_id, window_start_us) in self._window_ends:
                continue
            left = self._taken.get((meter_id, window_start_us), 0) - amount
            if left > 0:
                self._taken[meter_id, window_start_us] = left
            else:
                self._taken.pop((meter_id, window_start_us), None)

    def _reserve(self, asked: Asked, limits: Sequence[Limit]) -> Reserved:
        self._forget_expired(asked.now_us)
        if asked.request_id in self._calls:
            return _reserved("repeated", asked, self._standings(asked, limits))
        standings = self._standings(asked, limits)
        if any(each.is_violated and not each.limit.shadow for each in standings):
            return _reserved("refused", asked, standings)
        if asked.reserve and len(self._calls) < _MOST_CALLS:
            amounts = tuple(
                (each.limit.meter_id, each.limit.window_start_us, each.requested or 0) for each in standings
            )
            self._calls[asked.request_id] = _LocalCall(asked.expires_us, amounts)
            for meter_id, window_start_us, amount in amounts:
                key = meter_id, window_start_us
                self._taken[key] = self._taken.get(key, 0) + amount
            for limit in limits:
                if limit.is_live_only:
                    self._window_ends[limit.meter_id, limit.window_start_us] = limit.window_end_us
        return _reserved("ok", asked, standings)

    def _standings(self, asked: Asked, limits: Sequence[Limit]) -> list[Standing]:
        """What the others' parts of the room may have taken counts as held."""
        found = []
        for limit in limits:
            # Another call may have turned it on while this one waited.
            limit.turn_to(asked.now_us)
            used = self._used.get(self._key(limit), _NEVER).used if self._is_counted(limit) else 0
            taken = self._taken.get((limit.meter_id, limit.window_start_us), 0)
            room = max(limit.max_now - used, 0)
            held = taken + room - room // self._shares
            found.append(Standing(limit, used, held, asked.amounts[limit.kind], limit.max_now))
        return found

    def _is_trusted(self, limit: Limit, now_us: int) -> bool:
        known = self._used.get(self._key(limit), _NEVER)
        return known.doubted == self._doubted and now_us - known.at_us < _TRUSTED_US

    async def _load(self, limits: Sequence[Limit], now_us: int) -> None:
        wanted = [limit for limit in limits if self._is_counted(limit) and not self._is_trusted(limit, now_us)]
        if not wanted:
            return
        doubted = self._doubted
        meters = {limit.meter_id: Meter(limit.meter_id, limit.epoch, limit.rule) for limit in wanted if limit.rule}
        states = await self._usage.in_ledger(list(meters.values()), now=from_us(now_us))
        if len(self._used) + len(wanted) > _MOST_METERS:
            self._used.clear()
        for limit in wanted:
            window = Window(from_us(limit.window_start_us), from_us(limit.window_end_us))
            used = used_in(window, meters[limit.meter_id], states[limit.meter_id])
            self._used[self._key(limit)] = _Used(now_us, doubted, used)

    def _forget_expired(self, now_us: int) -> None:
        """Looked for once a second."""
        if now_us < self._forget_at_us:
            return
        self._forget_at_us = now_us + _TRUSTED_US
        for request_id in [each for each, call in self._calls.items() if call.expires_us <= now_us]:
            self.end(request_id)
        for key in [each for each, end_us in self._window_ends.items() if end_us <= now_us]:
            del self._window_ends[key]
            self._taken.pop(key, None)

    def _is_counted(self, limit: Limit) -> bool:
        return limit.rule is not None and not limit.is_live_only

    def _key(self, limit: Limit) -> tuple[str, int, int]:
        return limit.meter_id, limit.epoch, limit.window_start_us


def _reserved(outcome: Literal["ok", "refused", "repeated"], asked: Asked, standings: Sequence[Standing]) -> Reserved:
    texts = [text_of(each.limit, asked.now_us) for each in standings]
    numbers = [number for each in standings for number in (each.used, each.held)]
    return Reserved(outcome, asked, texts, numbers, expires_us=asked.expires_us)
