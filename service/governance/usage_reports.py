"""Reports of usage: sums by group and by part of time, page by page, and their total."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from service.domain.refusals import RefusedError
from service.domain.usage_parts import Hours, Interval, Part, parts_of
from service.domain.usage_reports import GroupName
from service.store.postgres import Connection, Store
from service.store.usage_sums import (
    Group,
    GroupQuery,
    GroupSums,
    Sums,
    UsageFilter,
    list_usage_sums,
    list_used_virtual_keys,
    plan_for_these_values,
    total_usage,
)

_LONGEST_DAYS = 366
_LONGEST_DAYS_BY_HOUR = 31


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to sum up."""

    hours: Hours
    narrowed: UsageFilter
    group_by: frozenset[GroupName] = frozenset()
    interval: Interval | None = None


class UsagePlace(msgspec.Struct, frozen=True):
    """Where a page begins: in the part that starts then, after that group; without one, at that virtual key."""

    start: datetime
    after: Group | None = None
    first_virtual_key_id: str = ""


class UsagePage(msgspec.Struct, frozen=True, kw_only=True):
    """`rows` with the starts of their parts. `totals` are of all pages, and with the first one only."""

    rows: list[tuple[datetime, GroupSums]]
    totals: Sums | None
    following: UsagePlace | None


class UsageReports:
    """Reads the sums of hours and days, of which there are no more when there are more events."""

    def __init__(self, store: Store, *, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    def now(self) -> datetime:
        return self._clock()

    async def page(self, query: UsageQuery, place: UsagePlace | None, *, limit: int) -> UsagePage:
        """At most `limit` rows. Raises RefusedError and StoreUnavailableError."""
        parts = [part for part in _parts(query) if place is None or part.from_hour >= place.start]
        if not parts:
            return UsagePage(rows=[], totals=None if place else _NOTHING, following=None)
        beginning = UsagePlace(parts[0].from_hour)
        if place is not None and place.start == beginning.start:
            beginning = place
        async with self._store.snapshot() as snapshot:
            await plan_for_these_values(snapshot)
            read = _read_keys if _has_many_groups(query) else _read
            rows, following = await read(_Reading(snapshot, query, parts, beginning), limit)
            totals = None if place else await _totals(snapshot, query)
        return UsagePage(rows=rows, totals=totals, following=following)


class _Reading(msgspec.Struct, frozen=True):
    """One page: the parts from the one it begins in on."""

    snapshot: Connection
    query: UsageQuery
    parts: Sequence[Part]
    beginning: UsagePlace


_Found = tuple[list[tuple[datetime, GroupSums]], UsagePlace | None]
_NOTHING = Sums(requests=0, errors=0, input_tokens=0, output_tokens=0, cached_input_tokens=0, cost_nanousd=0)


def _parts(query: UsageQuery) -> list[Part]:
    longest = _LONGEST_DAYS_BY_HOUR if query.interval == "hour" else _LONGEST_DAYS
    # Either end may have been widened to the whole hour.
    if query.hours.end - query.hours.start > timedelta(days=longest, hours=1):
        raise RefusedError("invalid", f"query parameters 'from' and 'to' must be at most {longest} days apart")
    return parts_of(query.hours, query.interval)


def _has_many_groups(query: UsageQuery) -> bool:
    """Whether one part may have a group for each virtual key there is: more than can be summed up for every page."""
    return "virtual_key" in query.group_by and not query.narrowed.has_owner and query.interval in (None, "month")


async def _read(reading: _Reading, limit: int) -> _Found:
    rows = await _sums(reading, reading.parts, limit + 1)
    return rows[:limit], _after(rows[limit - 1]) if len(rows) > limit else None


async def _read_keys(reading: _Reading, limit: int) -> _Found:
    """Part by part, and in each the sums of only as many virtual keys as may fill the page."""
    rows: list[tuple[datetime, GroupSums]] = []
    place: UsagePlace | None = reading.beginning
    for number, part in enumerate(reading.parts):
        if place is None:
            place = UsagePlace(part.from_hour)
        of_part = msgspec.structs.replace(reading, parts=reading.parts[number : number + 1], beginning=place)
        more, place = await _read_keys_of_part(of_part, limit - len(rows))
        rows += more
        if place is not None:
            return rows, place
        if len(rows) == limit:
            break
    following = reading.parts[number + 1 : number + 2]
    return rows, UsagePlace(following[0].from_hour) if following else None


async def _read_keys_of_part(reading: _Reading, limit: int) -> _Found:
    (part,), beginning = reading.parts, reading.beginning
    first = beginning.after.virtual_key_id if beginning.after else beginning.first_virtual_key_id
    narrowed = reading.query.narrowed
    keys = await list_used_virtual_keys(reading.snapshot, part, narrowed, first=first, limit=limit + 1)
    rows = await _sums(reading, [part], limit + 1, virtual_key_ids=keys[:limit])
    if len(rows) > limit:
        return rows[:limit], _after(rows[limit - 1])
    return rows, UsagePlace(part.from_hour, first_virtual_key_id=keys[limit]) if len(keys) > limit else None


async def _sums(
    reading: _Reading, parts: Sequence[Part], limit: int, *, virtual_key_ids: Sequence[str] | None = None
) -> list[tuple[datetime, GroupSums]]:
    query = reading.query
    wanted = GroupQuery(
        narrowed=query.narrowed,
        group_by=query.group_by,
        after=reading.beginning.after,
        virtual_key_ids=virtual_key_ids,
        limit=limit,
    )
    found = await list_usage_sums(reading.snapshot, parts, wanted)
    return [(parts[sums.place].from_hour, sums) for sums in found]


def _after(row: tuple[datetime, GroupSums]) -> UsagePlace:
    start, sums = row
    return UsagePlace(start, sums.group)


async def _totals(snapshot: Connection, query: UsageQuery) -> Sums:
    (whole,) = parts_of(query.hours, None)
    return await total_usage(snapshot, whole, query.narrowed)
