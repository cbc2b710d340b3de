"""A tenant's JSON with holes for what changes from call to call: each meter's usage and the start of its window.

The tree is encoded once per revision, with a mark in the place of each live number; after that a change of usage costs
filling in the marks.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from service.domain.meters import Meter, MeterState, used_in
from service.domain.money import nanousd_to_json
from service.domain.windows import window_at

# A control byte never stands in JSON text (RFC 8259 §7 has it escaped), so it can stand for a hole.
_MARK = b"\x00"


class Meters:
    """Collects the meters of a tenant while its tree is built, and hands out the marks of their live numbers.

    `valid_until` is when something other than a live number will read differently: the end of an override's cycle.
    """

    def __init__(self) -> None:
        self.meters: list[Meter] = []
        self.in_usd: list[bool] = []
        self.valid_until: datetime | None = None

    def hold_until(self, instant: datetime) -> None:
        """What is built now reads differently from `instant` on."""
        self.valid_until = min(instant, self.valid_until or instant)

    def add(self, meter: Meter, *, in_usd: bool) -> int:
        self.meters.append(meter)
        self.in_usd.append(in_usd)
        return len(self.meters) - 1

    # Any: the marks stand where the entities have a number and a time stamp.
    def usage_mark(self, index: int) -> Any:
        return Raw(_MARK + b"%d" % (2 * index) + _MARK)

    def window_start_mark(self, index: int) -> Any:
        return Raw(_MARK + b"%d" % (2 * index + 1) + _MARK)


class Template(msgspec.Struct, frozen=True):
    """Encoded text around the holes: `slots[i]` fills the hole after `texts[i]`.

    Slot 2n is the usage of meter n in JSON, slot 2n + 1 the start of its window.
    """

    texts: list[bytes]
    slots: list[int]
    meters: list[Meter]
    in_usd: list[bool]


class Fragment(msgspec.Struct, frozen=True, gc=False):
    """Finished JSON, right until the first of its windows ends."""

    body: bytes
    valid_until: datetime | None


class EpochBehindError(Exception):
    """A counter is of a newer epoch than the configuration at hand: that was changed since it was read."""


def make_template(entity: msgspec.Struct, collected: Meters) -> Template:
    """Encode an entity that was built with the marks of `collected`."""
    return template_of(msgspec.json.encode(entity), collected)


def template_of(encoded: bytes, collected: Meters) -> Template:
    """Of any stretch of JSON with marks of `collected`: it has the meters from the first to the last that it shows."""
    pieces = encoded.split(_MARK)
    marks = list(map(int, pieces[1::2]))
    first, end = (min(marks) // 2, max(marks) // 2 + 1) if marks else (0, 0)
    return Template(
        texts=pieces[::2],
        slots=[mark - 2 * first for mark in marks],
        meters=collected.meters[first:end],
        in_usd=collected.in_usd[first:end],
    )


def fill(template: Template, states: Mapping[str, MeterState], *, now: datetime) -> Fragment:
    """The JSON at `now`. `states` has every meter of the template. Raises EpochBehindError."""
    return fill_in_order(template, [states[meter.id] for meter in template.meters], now=now)


def fill_in_order(template: Template, states: Iterable[MeterState], *, now: datetime) -> Fragment:
    """As `fill`, with the state of each meter in the template's order."""
    values: list[bytes] = []
    valid_until: datetime | None = None
    for meter, in_usd, state in zip(template.meters, template.in_usd, states, strict=True):
        if state.epoch > meter.epoch:
            raise EpochBehindError(meter.id)
        window = window_at(meter.rule, now)
        used = used_in(window, meter, state)
        values.append(nanousd_to_json(used) if in_usd else b"%d" % used)
        values.append(msgspec.json.encode(window.start))
        if valid_until is None or window.end < valid_until:
            valid_until = window.end
    pieces = [b""] * (2 * len(template.texts) - 1)
    pieces[::2] = template.texts
    pieces[1::2] = [values[slot] for slot in template.slots]
    return Fragment(body=b"".join(pieces), valid_until=valid_until)
