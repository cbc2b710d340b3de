"""What of limits is the same for every call in one window, encoded once: as Redis is asked, and as it is answered.

Each call is held against several limits, and each of them is written twice. What differs from call to call has its
place in what is shown, which is a format, and goes apart to Redis.
"""

from collections import OrderedDict
from functools import lru_cache
from typing import NamedTuple, TypeVar, get_args

import msgspec

from service.counters.holds import asked_meter, packed_meters
from service.domain.money import nanousd_to_json
from service.domain.policy import NEVER_US, Holder, Limit, LimitKind, Limits
from service.domain.windows import from_us

_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode
# About 2 KiB for each holder. What many calls share is kept apart from what only one virtual key has: of these there
# are too many to keep all, and they would push the others out.
_MOST_SHARED = 12_000
_MOST_OWN = 1_000
_SHARED_LEVELS = ("team", "customer", "model", "provider")
# By kind: what a limit of it is shown as.
_SHOWN = {
    kind: b'%%b"limit":{"id":%%b,"kind":"%b","max":%%b,"used":%b,"held":%b,"remaining":%b%%%%b%%b%%b}}'
    % (kind.encode(), *(b"%%b" if kind == "budget" else b"%%d",) * 3)
    for kind in get_args(LimitKind)
}


class LimitText(NamedTuple):
    """A limit in one of its windows; a tuple, since each call takes them apart.

    `shown` takes used, held, remaining (of a budget as JSON), requested, seconds left, and of a shadow if it
    would refuse.
    """

    limit: Limit
    kind: LimitKind
    is_windowed: bool
    is_shadow: bool
    start_us: int
    end_us: int
    max: int
    shown: bytes


class _Window(NamedTuple):
    start_us: int
    end_us: int
    shown: bytes


class HolderText(msgspec.Struct, frozen=True, gc=False):
    """The limits of one holder, right from `start_us` until `end_us`; `asked` is how they go to Redis."""

    of: Limits
    start_us: int
    end_us: int
    limits: tuple[LimitText, ...]
    asked: bytes


class Texts:
    """Bounded; the ones kept longest go first. What one virtual key alone has is kept once it is met again."""

    def __init__(self, *, most_shared: int = _MOST_SHARED, most_own: int = _MOST_OWN) -> None:
        # By the object, which lives as long as its text. Not dicts: finding the first entry of one takes the longer
        # the more were taken out before it.
        self._shared: OrderedDict[int, HolderText] = OrderedDict()
        self._own: OrderedDict[int, HolderText] = OrderedDict()
        self._met: OrderedDict[int, None] = OrderedDict()
        self._most_shared = most_shared
        self._most_own = most_own

    def of(self, limits: Limits, now_us: int) -> HolderText:
        """Of one holder; there is one limit at least."""
        # Before anything of the limits is looked at, which may be far away in memory.
        known = self._shared.get(id(limits)) or self._own.get(id(limits))
        if known is not None and known.start_us <= now_us < known.end_us:
            return known
        text = holder_text(limits, now_us)
        if limits[0].holder.level in _SHARED_LEVELS:
            _keep(self._shared, id(limits), text, most=self._most_shared)
        elif id(limits) in self._met:
            _keep(self._own, id(limits), text, most=self._most_own)
        else:
            _keep(self._met, id(limits), None, most=self._most_own)
        return text


def _keep(kept: OrderedDict[int, _T], key: int, value: _T, *, most: int) -> None:
    kept[key] = value
    if len(kept) > most:
        kept.popitem(last=False)


def holder_text(limits: Limits, now_us: int) -> HolderText:
    holder = _holder_json(limits[0].holder)
    start_us, end_us = 0, NEVER_US
    texts: list[LimitText] = []
    asked: list[str] = []
    for limit in limits:
        window, most = _window(*limit.window_at(now_us)), limit.max_at(now_us)
        texts.append(_text(holder, limit, window, most))
        in_window = None if limit.rule is None else (limit.epoch, window.start_us)
        asked += asked_meter(limit.meter_id, limit.code, most, in_window)
        start_us, end_us = max(start_us, window.start_us), min(end_us, window.end_us)
    return HolderText(limits, start_us, end_us, tuple(texts), packed_meters(asked))


def number_json(kind: LimitKind, number: int) -> bytes:
    """US dollars for a budget."""
    return nanousd_to_json(number) if kind == "budget" else b"%d" % number


def _text(holder: bytes, limit: Limit, window: _Window, most: int) -> LimitText:
    kind = limit.kind
    shown = _SHOWN[kind] % (
        holder,
        _escaped(_encode(limit.id)),
        number_json(kind, most),
        window.shown,
        b',"shadow":true,"would_refuse":%b' if limit.shadow else b"",
    )
    return LimitText(limit, kind, limit.rule is not None, limit.shadow, window.start_us, window.end_us, most, shown)


def _holder_json(holder: Holder) -> bytes:
    entity = _encode({"type": holder.type, "id": holder.id, "name": holder.name})
    return b'{"level":"%b","entity":%b,' % (holder.level.encode(), _escaped(entity))


# Many limits have one window, and share what is kept of it.
@lru_cache(maxsize=1024)
def _window(start_us: int, end_us: int) -> _Window:
    if end_us == NEVER_US:
        return _Window(start_us, end_us, b"")
    start, end = _encode(from_us(start_us)), _encode(from_us(end_us))
    return _Window(start_us, end_us, b',"window_start":%b,"resets_at":%b,"retry_after":%%d' % (start, end))


def _escaped(text: bytes) -> bytes:
    """For a format."""
    return text.replace(b"%", b"%%")
