"""The limits of one entity and of all it belongs to, and what each is made of."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from service.store.postgres import Connection
from service.store.queries import queries
from service.store.trees import TreeRows, TreeScope, load_tree_rows
from service.store.usage_events import EventFilter, EventPlace, columns_before


class EntityPath(msgspec.Struct, frozen=True, kw_only=True):
    """An entity and the owners above it."""

    customer_id: str | None = None
    team_id: str | None = None
    virtual_key_id: str | None = None


class CurrentWindow(msgspec.Struct, frozen=True):
    """The window a meter counts in now."""

    meter_id: str
    epoch: int
    window_start: datetime


class WindowTotal(msgspec.Struct, frozen=True):
    """`carried` of `used` came along from before the meter's period was changed."""

    epoch: int
    window_start: datetime
    used: int
    carried: int


class Charged(msgspec.Struct, frozen=True):
    """What so many events were charged with together."""

    events: int
    amount: int


class Stretch(msgspec.Struct, frozen=True):
    """At most `limit` events in the order of the ledger, newest first, from the one before `before` on."""

    before: EventPlace | None
    limit: int


class LedgerStart(msgspec.Struct, frozen=True):
    """When the oldest event was recorded; `is_cut` when there were older ones."""

    recorded_at: datetime
    is_cut: bool


async def find_path(connection: Connection, entity: EntityPath) -> EntityPath | None:
    """With all owners, of an entity given by the lowest of its ids; None when there is no such entity."""
    if entity.virtual_key_id is not None:
        row = await queries.find_virtual_key_path(connection, virtual_key_id=entity.virtual_key_id)
    elif entity.team_id is not None:
        row = await queries.find_team_path(connection, team_id=entity.team_id)
    else:
        row = await queries.find_customer_path(connection, customer_id=entity.customer_id)
    return None if row is None else EntityPath(**dict(row))


async def load_path_rows(connection: Connection, path: EntityPath) -> TreeRows:
    """The entity and its owners with their limits; with a virtual key those of the whole deployment, too."""
    shared: list[str] = []
    if path.virtual_key_id is not None:
        rows = queries.list_shared_model_config_ids(connection, virtual_key_id=path.virtual_key_id)
        shared = [row["id"] async for row in rows]
    scope = TreeScope(
        customer_ids=_given(path.customer_id),
        team_ids=_given(path.team_id),
        virtual_key_ids=_given(path.virtual_key_id),
        model_config_ids=shared,
    )
    return await load_tree_rows(connection, scope)


async def load_window_totals(connection: Connection, windows: Sequence[CurrentWindow]) -> dict[str, WindowTotal]:
    """By meter; a window nobody used has none."""
    starts = {window.meter_id: window for window in windows}
    rows = queries.list_window_totals(connection, **_columns(windows))
    return {
        row["meter_id"]: WindowTotal(
            starts[row["meter_id"]].epoch, starts[row["meter_id"]].window_start, row["used"], row["carried"]
        )
        async for row in rows
    }


async def load_past_windows(
    connection: Connection, windows: Sequence[CurrentWindow], *, limit: int
) -> dict[str, list[WindowTotal]]:
    """By meter the last `limit` totals before its current window, latest first."""
    past: dict[str, list[WindowTotal]] = {window.meter_id: [] for window in windows}
    async for row in queries.list_past_windows(connection, **_columns(windows), page_limit=limit):
        total = WindowTotal(row["epoch"], row["window_start"], row["used"], row["carried"])
        past[row["meter_id"]].append(total)
    return past


async def sum_charges(
    connection: Connection, windows: Sequence[CurrentWindow], events: EventFilter, stretch: Stretch
) -> dict[str, Charged]:
    """By meter, from the stretch of an owner's events."""
    rows = queries.sum_charges(
        connection,
        customer_id=events.customer_id,
        team_id=events.team_id,
        virtual_key_id=events.virtual_key_id,
        from_at=events.from_at,
        **columns_before(stretch.before),
        scan_limit=stretch.limit,
        **_columns(windows),
    )
    return {row["meter_id"]: Charged(row["events"], int(row["amount"])) async for row in rows}


async def find_ledger_start(connection: Connection) -> LedgerStart | None:
    """None for a ledger without events."""
    row = await queries.find_ledger_start(connection)
    if row is None:
        return None
    first_day: date | None = row["first_day"]
    # Events are numbered from 1 on, and the days of those that were dropped stay in the sums.
    is_cut = row["id"] > 1 and first_day is not None and first_day < row["recorded_at"].date()
    return LedgerStart(row["recorded_at"], is_cut)


def _given(entity_id: str | None) -> list[str]:
    return [] if entity_id is None else [entity_id]


def _columns(windows: Sequence[CurrentWindow]) -> dict[str, list[Any]]:
    return {
        "meter_ids": [window.meter_id for window in windows],
        "epochs": [window.epoch for window in windows],
        "window_starts": [window.window_start for window in windows],
    }
