"""Entities by their id, as they are shown: read one by one, in lists, and before and after a change."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Protocol

import msgspec

from service.domain.sealing import Sealer
from service.governance.tree.build import TreeBuilder
from service.governance.tree.template import Template
from service.store.postgres import Connection
from service.store.trees import Row, TreeScope, load_tree_rows
from service.store.virtual_keys import count_owned_virtual_keys


class Shown(msgspec.Struct, frozen=True):
    """An entity's template, and the tenant its meters are in. `itself` is without what is shown below it, if it is."""

    id: str
    tenant_id: str
    template: Template
    itself: Template | None = None


class Show(Protocol):
    """Answers the entities with these ids that there are, in the order of the ids; values masked without a sealer."""

    async def __call__(
        self, connection: Connection, ids: Sequence[str], *, sealer: Sealer | None, now: datetime
    ) -> list[Shown]: ...


async def show_customers(
    connection: Connection, ids: Sequence[str], *, sealer: Sealer | None, now: datetime
) -> list[Shown]:
    """Customers by themselves, without what is below them."""
    rows = await load_tree_rows(connection, TreeScope(customer_ids=ids))
    counts = await count_owned_virtual_keys(connection, customer_ids=ids)
    builder = TreeBuilder(rows, sealer, now)
    shown = (
        Shown(row["id"], row["tenant_id"], builder.customer(row, virtual_key_count=counts.get(row["id"], 0)))
        for row in _all(rows.customers.values())
    )
    return _in_order(ids, shown)


async def show_teams(
    connection: Connection, ids: Sequence[str], *, sealer: Sealer | None, now: datetime
) -> list[Shown]:
    """Teams by themselves, without their virtual keys."""
    rows = await load_tree_rows(connection, TreeScope(team_ids=ids))
    counts = await count_owned_virtual_keys(connection, team_ids=ids)
    builder = TreeBuilder(rows, sealer, now)
    shown = (
        Shown(row["id"], row["tenant_id"], builder.team(row, virtual_key_count=counts.get(row["id"], 0)))
        for row in _all(rows.teams.values())
    )
    return _in_order(ids, shown)


async def show_teams_with_keys(
    connection: Connection, ids: Sequence[str], *, sealer: Sealer | None, now: datetime
) -> list[Shown]:
    rows = await load_tree_rows(connection, TreeScope(teams_with_keys=ids))
    builder = TreeBuilder(rows, sealer, now)
    shown = (
        Shown(row["id"], row["tenant_id"], builder.team(row), itself=builder.team(row, virtual_key_count=0))
        for row in _all(rows.teams.values())
    )
    return _in_order(ids, shown)


async def show_virtual_keys(
    connection: Connection, ids: Sequence[str], *, sealer: Sealer | None, now: datetime
) -> list[Shown]:
    rows = await load_tree_rows(connection, TreeScope(virtual_key_ids=ids))
    builder = TreeBuilder(rows, sealer, now)
    keys = _all(rows.virtual_keys.values())
    return _in_order(ids, (Shown(row["id"], row["tenant_id"], builder.virtual_key(row)) for row in keys))


async def show_model_configs(
    connection: Connection, ids: Sequence[str], *, sealer: Sealer | None, now: datetime
) -> list[Shown]:
    rows = await load_tree_rows(connection, TreeScope(model_config_ids=ids))
    builder = TreeBuilder(rows, sealer, now)
    configs = _all(rows.model_configs.values())
    return _in_order(ids, (Shown(row["id"], row["tenant_id"], builder.model_config(row)) for row in configs))


async def show_model_configs_of_virtual_keys(
    connection: Connection, ids: Sequence[str], *, sealer: Sealer | None, now: datetime
) -> list[Shown]:
    """All model configs of the virtual keys with these ids."""
    rows = await load_tree_rows(connection, TreeScope(virtual_key_ids=ids))
    builder = TreeBuilder(rows, sealer, now)
    return [Shown(row["id"], row["tenant_id"], builder.model_config(row)) for row in _all(rows.model_configs.values())]


def _all(groups: Iterable[list[Row]]) -> Iterable[Row]:
    return chain.from_iterable(groups)


def _in_order(ids: Sequence[str], shown: Iterable[Shown]) -> list[Shown]:
    by_id = {one.id: one for one in shown}
    return [by_id[entity_id] for entity_id in ids if entity_id in by_id]
