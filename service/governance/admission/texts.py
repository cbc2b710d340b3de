"""What of a limit is the same for every call in one window, encoded once: as Redis is asked, and as it is answered.

Each call is held against several limits, and each of them is written twice.
"""

from collections import OrderedDict

import msgspec

from service.counters.holds import asked_meter
from service.domain.money import nanousd_to_json
from service.domain.policy import Holder, Limit
from service.domain.windows import from_us

_encode = msgspec.json.Encoder().encode
# About 700 bytes each.
_MOST_TEXTS = 10_000


class LimitText(msgspec.Struct, frozen=True, gc=False):
    """Right from `start_us` until `end_us`. `shown` goes as far as the number used; `window` as far as retry_after."""

    limit: Limit
    start_us: int
    end_us: int
    max: int
    asked: bytes
    shown: bytes
    window: bytes


# Not a dict: finding its first entry takes the longer the more were taken out before it.
_texts: OrderedDict[str, LimitText] = OrderedDict()


def text_of(limit: Limit, now_us: int) -> LimitText:
    """Kept for the limits that are met often; the ones kept longest go first."""
    known = _texts.get(limit.meter_id)
    if known is not None and known.limit is limit and known.start_us <= now_us < known.end_us:
        return known
    text = _text(limit, now_us)
    _texts.pop(limit.meter_id, None)
    _texts[limit.meter_id] = text
    if len(_texts) > _MOST_TEXTS:
        _texts.popitem(last=False)
    return text


def number_json(limit: Limit, number: int) -> bytes:
    """US dollars for a budget."""
    return nanousd_to_json(number) if limit.kind == "budget" else b"%d" % number


def _text(limit: Limit, now_us: int) -> LimitText:
    limit.turn_to(now_us)
    window = None if limit.rule is None else (limit.epoch, limit.window_start_us)
    return LimitText(
        limit=limit,
        start_us=limit.window_start_us,
        end_us=limit.window_end_us,
        max=limit.max_now,
        asked=asked_meter(limit.meter_id, limit.code, limit.max_now, window),
        shown=b'%s"limit":{"id":%s,"kind":"%s","max":%s,"used":'
        % (
            _holder_json(limit.holder),
            _encode(limit.id),
            limit.kind.encode(),
            number_json(limit, limit.max_now),
        ),
        window=b"" if window is None else _window_json(limit.window_start_us, limit.window_end_us),
    )


def _holder_json(holder: Holder) -> bytes:
    entity = {"type": holder.type, "id": holder.id, "name": holder.name}
    return b'{"level":"%s","entity":%s,' % (holder.level.encode(), _encode(entity))


def _window_json(start_us: int, end_us: int) -> bytes:
    start, end = _encode(from_us(start_us)), _encode(from_us(end_us))
    return b',"window_start":%s,"resets_at":%s,"retry_after":' % (start, end)
