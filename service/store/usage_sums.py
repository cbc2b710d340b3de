"""Sums of usage over parts of time, group by group."""

from collections.abc import Sequence
from typing import Any

import msgspec

from service.domain.usage_parts import Part
from service.domain.usage_reports import GROUP_NAMES, GroupName
from service.store.postgres import Connection
from service.store.queries import queries
from service.store.trees import Row


class UsageFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Usage that matches all that is given."""

    customer_id: str | None = None
    team_id: str | None = None
    virtual_key_id: str | None = None
    provider: str | None = None
    model: str | None = None

    @property
    def has_owner(self) -> bool:
        return (self.customer_id, self.team_id, self.virtual_key_id) != (None, None, None)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What a sum is of: '' stands for none, and for what is not grouped by. Groups are in the order of these fields."""

    virtual_key_id: str = ""
    team_id: str = ""
    customer_id: str = ""
    provider: str = ""
    model: str = ""


class GroupQuery(msgspec.Struct, frozen=True, kw_only=True):
    """At most `limit` groups: in the first part those after `after`; only of these virtual keys, if any are given."""

    narrowed: UsageFilter
    group_by: frozenset[GroupName]
    after: Group | None
    virtual_key_ids: Sequence[str] | None
    limit: int


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cost_nanousd: int


class GroupSums(msgspec.Struct, frozen=True):
    """`place` is that of its part, from 0 on."""

    place: int
    group: Group
    sums: Sums


async def plan_for_these_values(connection: Connection) -> None:
    """For the rest of the transaction: which index serves depends on what is asked for."""
    await queries.plan_for_these_values(connection)


async def list_usage_sums(connection: Connection, parts: Sequence[Part], query: GroupQuery) -> list[GroupSums]:
    """In the order of the parts and the groups."""
    narrowed, after = query.narrowed, query.after
    rows = queries.list_usage_sums(
        connection,
        from_hours=[part.from_hour for part in parts],
        from_midnights=[part.from_midnight for part in parts],
        to_midnights=[part.to_midnight for part in parts],
        to_hours=[part.to_hour for part in parts],
        of_keys=narrowed.virtual_key_id is not None or "virtual_key" in query.group_by,
        **msgspec.structs.asdict(narrowed),
        virtual_key_ids=query.virtual_key_ids,
        **{f"by_{name}": name in query.group_by for name in GROUP_NAMES},
        **{f"after_{name}": after and getattr(after, name) for name in Group.__struct_fields__},
        page_limit=query.limit,
    )
    return [GroupSums(row["place"] - 1, _group(row), _sums(row)) async for row in rows]


async def total_usage(connection: Connection, part: Part, narrowed: UsageFilter) -> Sums:
    """All of it as one sum."""
    row = await queries.total_usage(
        connection,
        **msgspec.structs.asdict(part),
        of_keys=narrowed.virtual_key_id is not None,
        **msgspec.structs.asdict(narrowed),
    )
    return _sums(row)


async def list_used_virtual_keys(
    connection: Connection, part: Part, narrowed: UsageFilter, *, first: str, limit: int
) -> list[str]:
    """The next ids of virtual keys, from `first` on, that were used on a day of the part."""
    rows = queries.list_used_virtual_keys(
        connection,
        from_hour=part.from_hour,
        to_hour=part.to_hour,
        provider=narrowed.provider,
        model=narrowed.model,
        first_virtual_key_id=first,
        page_limit=limit,
    )
    return [row["virtual_key_id"] async for row in rows]


def _group(row: Row) -> Group:
    return Group(**{name: row[name] for name in Group.__struct_fields__})


def _sums(row: Row) -> Sums:
    # Sums of 64-bit integers come as decimals: they may be larger than one.
    numbers: dict[str, Any] = {name: int(row[name]) for name in Sums.__struct_fields__}
    return Sums(**numbers)
