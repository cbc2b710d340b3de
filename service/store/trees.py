"""Configuration as it is shown, as rows grouped by what they belong to: of whole tenants, or of entities by id."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import asyncpg
import msgspec

from service.domain.meters import Tenant
from service.store.postgres import Connection
from service.store.queries import queries

Row = asyncpg.Record
K = TypeVar("K", bound=Hashable)


class TreeScope(msgspec.Struct, frozen=True, kw_only=True):
    """What to load: all of some tenants, or single entities. A virtual key brings all it has; `teams_with_keys` are
    teams that bring their virtual keys along."""

    tenant_ids: Sequence[str] = ()
    customer_ids: Sequence[str] = ()
    team_ids: Sequence[str] = ()
    teams_with_keys: Sequence[str] = ()
    virtual_key_ids: Sequence[str] = ()
    model_config_ids: Sequence[str] = ()


class TreeRows(msgspec.Struct, frozen=True):
    """Rows of one snapshot, in the order they are shown in.

    Customers, teams and virtual keys are grouped by tenant; the rest by the id of the owner, limits by `(column, id)`
    of it. Model configs of the whole deployment are under None.
    """

    customers: dict[str, list[Row]]
    teams: dict[str, list[Row]]
    virtual_keys: dict[str, list[Row]]
    provider_configs: dict[str, list[Row]]
    pinned_provider_keys: dict[int, list[Row]]
    mcp_configs: dict[str, list[Row]]
    model_configs: dict[str | None, list[Row]]
    budgets: dict[tuple[str, str | int], list[Row]]
    rate_limits: dict[tuple[str, str | int], list[Row]]


async def load_tree_rows(snapshot: Connection, scope: TreeScope) -> TreeRows:
    """Everything that is shown of what is in scope: nine queries, however much it is."""
    tenants = {"tenant_ids": scope.tenant_ids}
    by_id = not scope.tenant_ids
    customers = await _rows(queries.list_shown_customers, snapshot, customer_ids=scope.customer_ids, **tenants)
    team_ids = [*scope.team_ids, *scope.teams_with_keys]
    teams = await _rows(queries.list_shown_teams, snapshot, team_ids=team_ids, **tenants)
    virtual_keys = await _rows(
        queries.list_shown_virtual_keys,
        snapshot,
        team_ids=scope.teams_with_keys,
        virtual_key_ids=scope.virtual_key_ids,
        **tenants,
    )
    of_keys = {"virtual_key_ids": _ids(virtual_keys) if by_id else [], **tenants}
    provider_configs = await _rows(queries.list_shown_provider_configs, snapshot, **of_keys)
    of_configs = {"provider_config_ids": _ids(provider_configs) if by_id else [], **tenants}
    pinned = await _rows(queries.list_shown_pinned_provider_keys, snapshot, **of_configs)
    mcp_configs = await _rows(queries.list_shown_mcp_configs, snapshot, **of_keys)
    model_configs = await _rows(
        queries.list_shown_model_configs, snapshot, model_config_ids=scope.model_config_ids, **of_keys
    )
    owners = {
        **of_keys,
        **of_configs,
        "customer_ids": scope.customer_ids,
        "team_ids": team_ids,
        "model_config_ids": _ids(model_configs) if by_id else [],
    }
    return TreeRows(
        customers=_grouped(customers, "tenant_id"),
        teams=_grouped(teams, "tenant_id"),
        virtual_keys=_grouped(virtual_keys, "tenant_id"),
        provider_configs=_grouped(provider_configs, "virtual_key_id"),
        pinned_provider_keys=_grouped(pinned, "provider_config_id"),
        mcp_configs=_grouped(mcp_configs, "virtual_key_id"),
        model_configs=_grouped(model_configs, "virtual_key_id"),
        budgets=_by_owner(await _rows(queries.list_shown_budgets, snapshot, **owners)),
        rate_limits=_by_owner(await _rows(queries.list_shown_rate_limits, snapshot, **owners)),
    )


class TenantRevision(msgspec.Struct, frozen=True):
    tenant: Tenant
    revision: int


async def load_revisions(snapshot: Connection, tenant_ids: Sequence[str]) -> list[TenantRevision]:
    """At which revision the rest of the snapshot shows these tenants."""
    rows = await _rows(queries.list_tenants, snapshot, tenant_ids=tenant_ids)
    return [TenantRevision(Tenant(row["id"], row["layout"]), row["revision"]) for row in rows]


async def load_tenants(snapshot: Connection, tenant_ids: Sequence[str]) -> dict[str, Tenant]:
    """The tenants by id, as their counters are kept now."""
    rows = await _rows(queries.list_tenants, snapshot, tenant_ids=tenant_ids)
    return {row["id"]: Tenant(row["id"], row["layout"]) for row in rows}


_OWNER_COLUMNS = (
    "virtual_key_id",
    "team_id",
    "customer_id",
    "provider_config_id",
    "model_config_id",
)


async def _rows(query: Any, snapshot: Connection, **parameters: Any) -> list[Row]:
    return [row async for row in query(snapshot, **parameters)]


def _ids(rows: list[Row]) -> list[Any]:
    return [row["id"] for row in rows]


def _grouped(rows: list[Row], column: str) -> dict[Any, list[Row]]:
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[column]].append(row)
    return groups


def _by_owner(rows: list[Row]) -> dict[tuple[str, str | int], list[Row]]:
    groups: defaultdict[tuple[str, str | int], list[Row]] = defaultdict(list)
    for row in rows:
        for owner_column in _OWNER_COLUMNS:
            owner_id = row[owner_column]
            if owner_id is not None:
                groups[owner_column, owner_id].append(row)
                break
    return groups
