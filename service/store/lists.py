"""What lists of entities have in common."""

import msgspec


class IdPage(msgspec.Struct, frozen=True):
    """The ids of a page in order, and how many match in all."""

    ids: list[str]
    total_count: int
