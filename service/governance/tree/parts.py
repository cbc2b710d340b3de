"""A tenant in parts: each a bounded stretch of its JSON, made, filled in, kept and sent by itself.

However large a tenant is, no step of a read takes longer than a few parts do.
"""

from datetime import datetime

import msgspec

from service.governance.tree.template import Meters, Template, template_of

# A customer of twenty-five virtual keys is about one part; it is filled in within a fraction of a millisecond.
_PART_BYTES = 128 * 1024
_encoder = msgspec.json.Encoder()


class TenantTemplate(msgspec.Struct, frozen=True):
    """The parts in order, right until `valid_until`. `size_bytes` counts a filled-in copy too.

    `itself` is the customer without what is below it.
    """

    itself: Template
    parts: list[Template]
    valid_until: datetime | None
    size_bytes: int


class TenantFragment(msgspec.Struct, frozen=True):
    """The finished JSON, right until the first of its windows ends.

    Of each part: its JSON, until when that is right, and what its meters' states were as stored; no text when some were
    not from Redis.
    """

    bodies: list[bytes]
    valid_until_of: list[datetime | None]
    stored_of: list[str | None]
    made_at: datetime
    valid_until: datetime | None

    def reads_the_same(self, number: int, stored: str, now: datetime) -> bool:
        """Whether a part is the same with these states at `now`; a clock may have been set back."""
        valid_until = self.valid_until_of[number]
        in_its_windows = self.made_at <= now and (valid_until is None or now < valid_until)
        return in_its_windows and self.stored_of[number] == stored


class PartsMaker:
    """Makes parts of JSON that is written piece by piece, with marks of `meters`; no piece is divided."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._parts: list[Template] = []
        self._text = bytearray()
        self._size_bytes = 0

    def write(self, text: bytes) -> None:
        self._text += text

    def write_entity(self, entity: msgspec.Struct) -> None:
        """Its JSON."""
        _encoder.encode_into(entity, self._text, -1)

    @property
    def is_full(self) -> bool:
        """Whether what was written is enough for a part."""
        return len(self._text) >= _PART_BYTES

    def finish(self, itself: Template) -> TenantTemplate:
        size_bytes = self._size_bytes + sum(map(len, itself.texts)) + 128 * len(itself.texts)
        return TenantTemplate(itself, self._parts, self._meters.valid_until, size_bytes)

    def end_part(self) -> int:
        """Between two pieces: make a part of what was written since the last. Answers how many bytes that is."""
        size = len(self._text)
        part = template_of(bytes(self._text), self._meters)
        self._parts.append(part)
        # Text twice (the second time filled in), list entries and object headers, about as CPython allocates them.
        self._size_bytes += 2 * size + 128 * len(part.texts) + 400 * len(part.meters)
        self._text = bytearray()
        return size
