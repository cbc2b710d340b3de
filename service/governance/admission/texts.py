"""What of limits is the same for every call in one window, encoded once: as Redis is asked, and as it is answered.

Each call is held against several limits, and each of them is written twice. They are formats: what differs from call
to call has its place in them.
"""

from collections import OrderedDict
from functools import lru_cache
from typing import NamedTuple

import msgspec

from service.counters.holds import asked_meter
from service.domain.money import nanousd_to_json
from service.domain.policy import Holder, Limit, LimitKind, Limits
from service.domain.windows import from_us

_encode = msgspec.json.Encoder().encode
# About 2.5 KiB for each holder. What many calls share is kept apart from what only one virtual key has: of these there
# are too many to keep all, and they would push the others out.
_MOST_SHARED = 8_000
_MOST_OWN = 1_000
_SHARED_LEVELS = ("team", "customer", "model", "provider")


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


class HolderText(msgspec.Struct, frozen=True, gc=False):
    """The limits of one holder, right from `start_us` until `end_us`; `asked` takes what is asked of each of them."""

    of: Limits
    start_us: int
    end_us: int
    limits: tuple[LimitText, ...]
    asked: bytes


class Texts:
    """Bounded; the ones kept longest go first."""

    def __init__(self, *, most_shared: int = _MOST_SHARED, most_own: int = _MOST_OWN) -> None:
        # By the object, which lives as long as its text. Not dicts: finding the first entry of one takes the longer
        # the more were taken out before it.
        self._shared: OrderedDict[int, HolderText] = OrderedDict()
        self._own: OrderedDict[int, HolderText] = OrderedDict()
        self._most_shared = most_shared
        self._most_own = most_own

    def of(self, limits: Limits, now_us: int) -> HolderText:
        """Of one holder; there is one limit at least."""
        is_shared = limits[0].holder.level in _SHARED_LEVELS
        kept, most = (self._shared, self._most_shared) if is_shared else (self._own, self._most_own)
        known = kept.get(id(limits))
        if known is not None and known.start_us <= now_us < known.end_us:
            return known
        text = holder_text(limits, now_us)
        kept[id(limits)] = text
        if len(kept) > most:
            kept.popitem(last=False)
        return text


def holder_text(limits: Limits, now_us: int) -> HolderText:
    holder = _holder_json(limits[0].holder)
    texts = tuple(_text(limit, holder, now_us) for limit in limits)
    return HolderText(
        of=limits,
        start_us=max(text.start_us for text in texts),
        end_us=min(text.end_us for text in texts),
        limits=texts,
        asked=b"".join(map(_asked, texts)),
    )


def number_json(kind: LimitKind, number: int) -> bytes:
    """US dollars for a budget."""
    return nanousd_to_json(number) if kind == "budget" else b"%d" % number


def _text(limit: Limit, holder: bytes, now_us: int) -> LimitText:
    start_us, end_us = limit.window_at(now_us)
    most = limit.max_at(now_us)
    window = b"" if limit.rule is None else _window_json(start_us, end_us)
    return LimitText(
        limit=limit,
        kind=limit.kind,
        is_windowed=limit.rule is not None,
        is_shadow=limit.shadow,
        start_us=start_us,
        end_us=end_us,
        max=most,
        shown=b'%b"limit":{"id":%b,"kind":"%b","max":%b,"used":%b,"held":%b,"remaining":%b%%b%b%b}}'
        % (
            holder,
            _escaped(_encode(limit.id)),
            limit.kind.encode(),
            number_json(limit.kind, most),
            *(b"%b" if limit.kind == "budget" else b"%d",) * 3,
            window,
            b',"shadow":true,"would_refuse":%b' if limit.shadow else b"",
        ),
    )


def _asked(text: LimitText) -> bytes:
    limit = text.limit
    window = None if limit.rule is None else (limit.epoch, text.start_us)
    return asked_meter(limit.meter_id, limit.code, text.max, window)


def _holder_json(holder: Holder) -> bytes:
    entity = _encode({"type": holder.type, "id": holder.id, "name": holder.name})
    return b'{"level":"%b","entity":%b,' % (holder.level.encode(), _escaped(entity))


# The limits of a holder often have one window.
@lru_cache(maxsize=1024)
def _window_json(start_us: int, end_us: int) -> bytes:
    start, end = _encode(from_us(start_us)), _encode(from_us(end_us))
    return b',"window_start":%b,"resets_at":%b,"retry_after":%%d' % (start, end)


def _escaped(text: bytes) -> bytes:
    """For a format."""
    return text.replace(b"%", b"%%")
