"""Entities as they are stored, as the entries a file would have for them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
from msgspec import Raw

from service.domain.config_file.entries import (
    ITSELF,
    BudgetEntry,
    CustomerEntry,
    Entity,
    Kind,
    McpConfigEntry,
    ModelConfigEntry,
    OwnedLimits,
    PricingOverrideEntry,
    ProviderConfigEntry,
    ProviderEntry,
    RateLimitEntry,
    TeamEntry,
    VirtualKeyEntry,
)
from service.domain.inputs.limits import ResetConfigInput
from service.domain.inputs.lists import EVERYTHING
from service.domain.money import nanousd_to_usd
from service.domain.sealing import NotOpenedError, Sealer, sealed_virtual_key
from service.governance.config_file.catalogue import Stored, load_mcp_clients, load_provider_keys
from service.store.model_configs import find_provider_model_configs
from service.store.postgres import Connection
from service.store.pricing_overrides import load_pricing_overrides
from service.store.trees import Row, TreeRows, TreeScope, load_tree_rows

Load = Callable[[Connection, Sequence[str], Sealer], Awaitable[dict[str, Stored]]]
_OWNED = ("calendar_aligned", "time_zone")
_VIRTUAL_KEY_COLUMNS = (
    *("id", "name", "description", "is_active", "expires_at", "delete_after_expire", "disable_content_logging"),
    *("team_id", "customer_id", "allow_all_providers", "max_parallel_requests", "metadata", "created_by_user_id"),
    *_OWNED,
)


async def load_customers(connection: Connection, ids: Sequence[str], _sealer: Sealer) -> dict[str, Stored]:
    rows = await load_tree_rows(connection, TreeScope(customer_ids=ids))
    names = ("id", "name", "max_parallel_requests", *_OWNED)
    return {
        row["id"]: _stored("customer", CustomerEntry(**_set(row, names)), row, {ITSELF: _limits(rows, "customer", row)})
        for row in chain(*rows.customers.values())
    }


async def load_teams(connection: Connection, ids: Sequence[str], _sealer: Sealer) -> dict[str, Stored]:
    rows = await load_tree_rows(connection, TreeScope(team_ids=ids))
    names = ("id", "name", "customer_id", "max_parallel_requests", "profile", "config", "claims", *_OWNED)
    return {
        row["id"]: _stored("team", TeamEntry(**_set(row, names)), row, {ITSELF: _limits(rows, "team", row)})
        for row in chain(*rows.teams.values())
    }


async def load_virtual_keys(connection: Connection, ids: Sequence[str], sealer: Sealer) -> dict[str, Stored]:
    rows = await load_tree_rows(connection, TreeScope(virtual_key_ids=ids))
    return {row["id"]: _virtual_key(row, rows, sealer) for row in chain(*rows.virtual_keys.values())}


async def load_model_configs(connection: Connection, ids: Sequence[str], _sealer: Sealer) -> dict[str, Stored]:
    rows = await load_tree_rows(connection, TreeScope(model_config_ids=ids))
    return {
        row["id"]: _stored("model_config", _model_config(row), row, {ITSELF: _limits(rows, "model_config", row)})
        for row in chain(*rows.model_configs.values())
    }


async def load_providers(connection: Connection, ids: Sequence[str], _sealer: Sealer) -> dict[str, Stored]:
    """The limits of whole providers, by their names."""
    providers = await find_provider_model_configs(connection, ids)
    rows = await load_tree_rows(connection, TreeScope(model_config_ids=list(providers)))
    return {
        row["provider"]: _stored(
            "provider",
            ProviderEntry(name=row["provider"], **_set(row, _OWNED)),
            row,
            {ITSELF: _limits(rows, "model_config", row)},
        )
        for row in chain(*rows.model_configs.values())
    }


async def load_overrides(connection: Connection, ids: Sequence[str], _sealer: Sealer) -> dict[str, Stored]:
    """Pricing overrides."""
    names = [name for name in PricingOverrideEntry.__struct_fields__ if not name.endswith("patch")]
    return {
        row["id"]: _stored(
            "pricing_override",
            PricingOverrideEntry(**_set(row, names), patch=msgspec.json.decode(row["pricing_patch"])),
            row,
            {},
        )
        for row in await load_pricing_overrides(connection, ids)
    }


LOADS: dict[Kind, Load] = {
    "provider_key": load_provider_keys,
    "mcp_client": load_mcp_clients,
    "customer": load_customers,
    "team": load_teams,
    "virtual_key": load_virtual_keys,
    "model_config": load_model_configs,
    "provider": load_providers,
    "pricing_override": load_overrides,
}


def _stored(kind: Kind, entry: Any, row: Row, limits: Mapping[str, OwnedLimits], *, value: str | None = None) -> Stored:
    entity_id = entry.name if kind == "provider" else entry.id
    some = {part: owned for part, owned in limits.items() if owned.budgets or owned.rate_limits}
    entity = Entity(kind=kind, id=entity_id, entry=entry, limits=some, value=value)
    tenant_id = row.get("tenant_id")
    return Stored(entity, row_id=str(row["id"]), config_hash=row["config_hash"], tenant_id=tenant_id)


def _virtual_key(row: Row, rows: TreeRows, sealer: Sealer) -> Stored:
    configs = rows.provider_configs.get(row["id"], [])
    limits = {config["provider"]: _limits(rows, "provider_config", config) for config in configs}
    entry = VirtualKeyEntry(
        **_set(row, _VIRTUAL_KEY_COLUMNS),
        provider_configs=[_provider_config(config, rows) for config in configs],
        mcp_configs=[
            McpConfigEntry(mcp_client_name=config["mcp_client_name"], tools_to_execute=config["tools_to_execute"])
            for config in rows.mcp_configs.get(row["id"], [])
        ],
    )
    own = {ITSELF: _limits(rows, "virtual_key", row)}
    return _stored("virtual_key", entry, row, own | limits, value=_opened(row, sealer))


def _opened(row: Row, sealer: Sealer) -> str | None:
    """None for a value that does not open: a damaged row must not keep the others from being written."""
    try:
        return sealer.open(row["value_sealed"], belongs_to=sealed_virtual_key(row["id"]))
    except NotOpenedError:
        return None


def _provider_config(row: Row, rows: TreeRows) -> ProviderConfigEntry:
    pinned = [key["name"] for key in rows.pinned_provider_keys.get(row["id"], [])]
    names = ("id", "provider", "weight", "allowed_models", "blacklisted_models")
    return ProviderConfigEntry(**_set(row, names), key_ids=[EVERYTHING] if row["allow_all_keys"] else pinned)


def _model_config(row: Row) -> ModelConfigEntry:
    return ModelConfigEntry(
        **_set(row, ("id", "model_name", "provider", *_OWNED)),
        scope="global" if row["virtual_key_id"] is None else "virtual_key",
        scope_id=row["virtual_key_id"] or "",
    )


def _limits(rows: TreeRows, owner: str, row: Row) -> OwnedLimits:
    key = (f"{owner}_id", row["id"])
    return OwnedLimits(
        budgets=[_budget(budget) for budget in rows.budgets.get(key, [])],
        rate_limits=[
            RateLimitEntry(**{name: rate_limit[name] for name in RateLimitEntry.__struct_fields__})
            for rate_limit in rows.rate_limits.get(key, [])
        ],
    )


def _budget(row: Row) -> BudgetEntry:
    month, amount_nanousd = row["quarter_start_month"], row["override_amount_nanousd"]
    return BudgetEntry(
        max_limit=nanousd_to_usd(row["max_limit_nanousd"]),
        reset_config=None if month is None else ResetConfigInput(quarter_start_month=month),
        override_amount=None if amount_nanousd is None else nanousd_to_usd(amount_nanousd),
        **_set(row, ("id", "reset_duration", "alert_thresholds", "shadow")),
        **_set(row, ("override_mode", "override_cycles_total", "override_anchor_reset")),
    )


def _set(row: Row, names: Sequence[str]) -> dict[str, Any]:
    """NULL is left out: an entry's field has its default then."""
    return {name: _decoded(row[name]) for name in names if row[name] is not None}


def _decoded(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, Raw) else value
