"""What a virtual key may use: provider configs, pinned provider keys, MCP configs, and the limits of single models."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from service.domain.durations import parse_reset_duration
from service.domain.windows import ResetRule, to_us
from service.store.postgres import Connection
from service.store.queries import queries


class ProviderConfigColumns(msgspec.Struct, frozen=True, kw_only=True):
    """What of a provider config is written."""

    provider: str
    weight: float | None
    allowed_models: list[str]
    blacklisted_models: list[str]
    allow_all_keys: bool


class OverrideColumns(msgspec.Struct, frozen=True, kw_only=True):
    """A budget's override; without a mode there is none."""

    override_mode: str | None = None
    override_amount_nanousd: int | None = None
    override_cycles_total: int | None = None
    override_anchor_reset: datetime | None = None


class OverridableBudget(msgspec.Struct, frozen=True):
    """A budget of a virtual key, and the windows it counts in."""

    max_limit_nanousd: int
    rule: ResetRule


async def list_stored_provider_configs(connection: Connection, virtual_key_id: str) -> dict[int, str]:
    """The provider of each config by its id; locked."""
    rows = queries.list_stored_provider_configs(connection, virtual_key_id=virtual_key_id)
    return {row["id"]: row["provider"] async for row in rows}


async def insert_provider_config(connection: Connection, virtual_key_id: str, columns: ProviderConfigColumns) -> int:
    """Answers its id."""
    config_id: int = await queries.insert_provider_config(
        connection, virtual_key_id=virtual_key_id, **msgspec.structs.asdict(columns)
    )
    return config_id


async def update_provider_config(connection: Connection, config_id: int, columns: ProviderConfigColumns) -> None:
    await queries.update_provider_config(connection, provider_config_id=config_id, **msgspec.structs.asdict(columns))


async def delete_provider_configs(connection: Connection, config_ids: Sequence[int]) -> None:
    if config_ids:
        await queries.delete_provider_configs(connection, provider_config_ids=config_ids)


async def pin_provider_keys(connection: Connection, config_id: int, provider_key_ids: Sequence[str]) -> set[str]:
    """Pin to these and no others; answers those of them that there are."""
    pinned = {"provider_config_id": config_id, "provider_key_ids": provider_key_ids}
    await queries.unpin_provider_keys(connection, **pinned)
    return {row["id"] async for row in queries.pin_provider_keys(connection, **pinned)}


async def list_stored_mcp_configs(connection: Connection, virtual_key_id: str) -> dict[int, int]:
    """The id of each config by that of its MCP client; locked."""
    rows = queries.list_stored_mcp_configs(connection, virtual_key_id=virtual_key_id)
    return {row["mcp_client_id"]: row["id"] async for row in rows}


async def find_mcp_client_ids(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """By name, those that there are."""
    return {row["name"]: row["id"] async for row in queries.find_mcp_client_ids(connection, names=names)}


async def insert_mcp_config(
    connection: Connection, virtual_key_id: str, *, mcp_client_id: int, tools_to_execute: Sequence[str]
) -> None:
    await queries.insert_mcp_config(
        connection, virtual_key_id=virtual_key_id, mcp_client_id=mcp_client_id, tools_to_execute=tools_to_execute
    )


async def update_mcp_config(connection: Connection, config_id: int, tools_to_execute: Sequence[str]) -> None:
    await queries.update_mcp_config(connection, mcp_config_id=config_id, tools_to_execute=tools_to_execute)


async def delete_mcp_configs(connection: Connection, config_ids: Sequence[int]) -> None:
    if config_ids:
        await queries.delete_mcp_configs(connection, mcp_config_ids=config_ids)


async def list_model_budgets(connection: Connection, virtual_key_id: str, provider: str) -> dict[str, str]:
    """The id of the model config of each model; locked."""
    rows = queries.list_model_budgets(connection, virtual_key_id=virtual_key_id, provider=provider)
    return {row["model_name"]: row["id"] async for row in rows}


async def insert_model_budget(
    connection: Connection, virtual_key_id: str, *, model_config_id: str, provider: str, model_name: str, now: datetime
) -> None:
    await queries.insert_model_budget(
        connection,
        model_config_id=model_config_id,
        virtual_key_id=virtual_key_id,
        provider=provider,
        model_name=model_name,
        created_at=now,
    )


async def delete_model_budgets(connection: Connection, model_config_ids: Sequence[str]) -> None:
    if model_config_ids:
        await queries.delete_model_budgets(connection, model_config_ids=model_config_ids)


async def align_model_configs(connection: Connection, virtual_key_id: str) -> None:
    """The limits of single models follow the calendar of their virtual key."""
    await queries.align_model_configs(connection, virtual_key_id=virtual_key_id)


async def find_budget_of_virtual_key(
    connection: Connection, virtual_key_id: str, budget_id: str
) -> OverridableBudget | None:
    """Its own, or one of its provider or model configs; locked."""
    row: Any = await queries.find_budget_of_virtual_key(connection, virtual_key_id=virtual_key_id, budget_id=budget_id)
    if row is None:
        return None
    rule = ResetRule(
        duration=parse_reset_duration(row["reset_duration"]),
        anchored_us=to_us(row["anchored_at"]),
        calendar_aligned=row["calendar_aligned"],
        time_zone=row["time_zone"],
        quarter_start_month=row["quarter_start_month"] or 1,
    )
    return OverridableBudget(row["max_limit_nanousd"], rule)


async def set_budget_override(connection: Connection, budget_id: str, override: OverrideColumns) -> None:
    await queries.set_budget_override(connection, budget_id=budget_id, **msgspec.structs.asdict(override))
