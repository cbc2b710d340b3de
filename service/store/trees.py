"""The configuration of whole tenants, as rows grouped by what they belong to."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import asyncpg
import msgspec

from service.store.postgres import Connection
from service.store.queries import queries

Row = asyncpg.Record
K = TypeVar("K", bound=Hashable)


class TreeRows(msgspec.Struct, frozen=True):
    """Rows of some tenants in one snapshot, in the order they are shown in.

    Teams, virtual keys and customers are grouped by tenant; the rest by the id of the owner, limits by `(column, id)`
    of it.
    """

    revisions: dict[str, int]
    customers: dict[str, list[Row]]
    teams: dict[str, list[Row]]
    virtual_keys: dict[str, list[Row]]
    provider_configs: dict[str, list[Row]]
    pinned_provider_keys: dict[int, list[Row]]
    mcp_configs: dict[str, list[Row]]
    budgets: dict[tuple[str, str | int], list[Row]]
    rate_limits: dict[tuple[str, str | int], list[Row]]


async def load_tree_rows(snapshot: Connection, tenant_ids: Sequence[str]) -> TreeRows:
    """Everything the tree shows of these tenants: nine queries, however many they are."""

    async def rows(query: Any) -> list[Row]:
        return [row async for row in query(snapshot, tenant_ids=tenant_ids)]

    return TreeRows(
        revisions={row["id"]: row["revision"] for row in await rows(queries.list_tenant_revisions)},
        customers=_grouped(await rows(queries.list_tenant_customers), "tenant_id"),
        teams=_grouped(await rows(queries.list_tenant_teams), "tenant_id"),
        virtual_keys=_grouped(await rows(queries.list_tenant_virtual_keys), "tenant_id"),
        provider_configs=_grouped(await rows(queries.list_tenant_provider_configs), "virtual_key_id"),
        pinned_provider_keys=_grouped(await rows(queries.list_tenant_pinned_provider_keys), "provider_config_id"),
        mcp_configs=_grouped(await rows(queries.list_tenant_mcp_configs), "virtual_key_id"),
        budgets=_by_owner(await rows(queries.list_tenant_budgets)),
        rate_limits=_by_owner(await rows(queries.list_tenant_rate_limits)),
    )


_OWNER_COLUMNS = (
    "virtual_key_id",
    "team_id",
    "customer_id",
    "provider_config_id",
    "model_config_id",
)


def _grouped(rows: list[Row], column: str) -> dict[Any, list[Row]]:
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[column]].append(row)
    return groups


def _by_owner(rows: list[Row]) -> dict[tuple[str, str | int], list[Row]]:
    groups: defaultdict[tuple[str, str | int], list[Row]] = defaultdict(list)
    for row in rows:
        owner_column = next(column for column in _OWNER_COLUMNS if row[column] is not None)
        groups[owner_column, row[owner_column]].append(row)
    return groups
