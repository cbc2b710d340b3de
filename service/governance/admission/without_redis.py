"""Decide while Redis does not answer, as the setting says: refuse, allow, or allow from what is known here.

What is known here: usage as the ledger had it last, and the calls this worker admitted meanwhile. The room that leaves
is shared by all workers, each keeps to its part of it.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from service.domain.meters import Meter, used_in
from service.domain.policy import Limit
from service.domain.windows import Window, from_us
from service.governance.admission.reserve import Asked, Reserved
from service.governance.admission.texts import LimitText, holder_text
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
        now_us = asked.hold.now_us
        texts = [text for limit in limits for text in holder_text((limit,), now_us).limits]
        if self._policy == "allow":
            return _reserved("ok", asked, texts, [0] * (2 * len(texts)))
        counted = [text for text in texts if _is_counted(text.limit)]
        try:
            await self._load(counted, now_us)
        except StoreUnavailableError:
            if any(_key(text) not in self._used for text in counted):
                return None
        return self._reserve(asked, texts)

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

    def _reserve(self, asked: Asked, texts: Sequence[LimitText]) -> Reserved:
        hold = asked.hold
        self._forget_expired(hold.now_us)
        numbers = [number for text in texts for number in self._standing(text)]
        if hold.request_id in self._calls:
            return _reserved("repeated", asked, texts, numbers)
        found = _reserved("refused", asked, texts, numbers)
        if any(each.is_violated and not each.limit.shadow for each in found.standings()):
            return found
        if hold.reserve and len(self._calls) < _MOST_CALLS:
            self._take(asked, texts)
        return _reserved("ok", asked, texts, numbers)

    def _take(self, asked: Asked, texts: Sequence[LimitText]) -> None:
        amounts = tuple((text.limit.meter_id, text.start_us, asked.amounts[text.kind] or 0) for text in texts)
        self._calls[asked.hold.request_id] = _LocalCall(asked.hold.expires_us, amounts)
        for meter_id, window_start_us, amount in amounts:
            key = meter_id, window_start_us
            self._taken[key] = self._taken.get(key, 0) + amount
        for text in texts:
            if text.limit.is_live_only:
                self._window_ends[text.limit.meter_id, text.start_us] = text.end_us

    def _standing(self, text: LimitText) -> tuple[int, int]:
        """Used and held; what the others' parts of the room may have taken counts as held."""
        used = self._used.get(_key(text), _NEVER).used if _is_counted(text.limit) else 0
        taken = self._taken.get((text.limit.meter_id, text.start_us), 0)
        room = max(text.max - used, 0)
        return used, taken + room - room // self._shares

    def _is_trusted(self, text: LimitText, now_us: int) -> bool:
        known = self._used.get(_key(text), _NEVER)
        return known.doubted == self._doubted and now_us - known.at_us < _TRUSTED_US

    async def _load(self, counted: Sequence[LimitText], now_us: int) -> None:
        wanted = [text for text in counted if not self._is_trusted(text, now_us)]
        if not wanted:
            return
        doubted = self._doubted
        limits = (text.limit for text in wanted)
        meters = {limit.meter_id: Meter(limit.meter_id, limit.epoch, limit.rule) for limit in limits if limit.rule}
        states = await self._usage.in_ledger(list(meters.values()), now=from_us(now_us))
        if len(self._used) + len(wanted) > _MOST_METERS:
            self._used.clear()
        for text in wanted:
            meter_id = text.limit.meter_id
            window = Window(from_us(text.start_us), from_us(text.end_us))
            self._used[_key(text)] = _Used(now_us, doubted, used_in(window, meters[meter_id], states[meter_id]))

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


def _is_counted(limit: Limit) -> bool:
    """In the ledger."""
    return limit.rule is not None and not limit.is_live_only


def _key(text: LimitText) -> tuple[str, int, int]:
    return text.limit.meter_id, text.limit.epoch, text.start_us


def _reserved(
    outcome: Literal["ok", "refused", "repeated"], asked: Asked, texts: Sequence[LimitText], numbers: Sequence[int]
) -> Reserved:
    return Reserved(outcome, asked, texts, numbers, expires_us=asked.hold.expires_us)
