"""How entities of each kind are made, edited and removed: by the use cases every client's changes go through."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import UNSET

from service.domain.config_file import inputs
from service.domain.config_file.entries import Entity, Kind
from service.domain.inputs.mcp_clients import McpClientCreate, McpClientUpdate
from service.domain.inputs.model_configs import ModelConfigCreate, ModelConfigUpdate, ProviderLimitsUpdate
from service.domain.inputs.owners import CustomerCreate, CustomerUpdate, TeamCreate, TeamUpdate
from service.domain.inputs.pricing import PricingOverrideCreate, PricingOverrideUpdate
from service.domain.inputs.provider_keys import ProviderKeyCreate, ProviderKeyUpdate
from service.governance.changes.change import Change
from service.governance.changes.customers import create_customer, delete_customer, update_customer
from service.governance.changes.mcp_clients import create_mcp_client, delete_mcp_client, update_mcp_client
from service.governance.changes.model_configs import create_model_config, delete_model_config, update_model_config
from service.governance.changes.pricing_overrides import (
    create_pricing_override,
    delete_pricing_override,
    update_pricing_override,
)
from service.governance.changes.provider_keys import create_provider_key, delete_provider_key, update_provider_key
from service.governance.changes.provider_limits import delete_provider_limits, update_provider_limits
from service.governance.changes.teams import create_team, delete_team, update_team
from service.governance.changes.virtual_keys import (
    create_virtual_key,
    delete_virtual_key,
    rotate_virtual_key,
    update_virtual_key,
)
from service.governance.config_file.catalogue import KEY_CONFIGS, Stored
from service.governance.config_file.secrets import differing_secrets
from service.store.config_file import find_provider_keys


class KindOfEntity(msgspec.Struct, frozen=True):
    """`edit` brings what is stored to what the entity is; `remove` takes the id of the row, or a provider's name."""

    make: Callable[[Change, Entity], Awaitable[Any]]
    edit: Callable[[Change, Stored, Entity], Awaitable[Any]]
    remove: Callable[[Change, str], Awaitable[None]]


async def _make_customer(change: Change, entity: Entity) -> None:
    await create_customer(change, CustomerCreate(**inputs.customer_fields(entity)), customer_id=entity.id)


async def _edit_customer(change: Change, stored: Stored, entity: Entity) -> None:
    await update_customer(change, stored.row_id, CustomerUpdate(**inputs.customer_fields(entity)))


async def _make_team(change: Change, entity: Entity) -> None:
    await create_team(change, TeamCreate(**inputs.team_fields(entity)), team_id=entity.id)


async def _edit_team(change: Change, stored: Stored, entity: Entity) -> None:
    await update_team(change, stored.row_id, TeamUpdate(**inputs.team_fields(entity)))


async def _make_virtual_key(change: Change, entity: Entity) -> None:
    given = inputs.FileVirtualKeyCreate(**inputs.virtual_key_fields(await _pinned(change, entity), {}))
    await create_virtual_key(change, given, virtual_key_id=entity.id, value=entity.value)


async def _edit_virtual_key(change: Change, stored: Stored, entity: Entity) -> None:
    """The old value of a key that gets another ends at once: a file that still had it would say so."""
    config_ids = {config.provider: config.id for config in stored.entity.entry.provider_configs}
    given = inputs.FileVirtualKeyUpdate(**inputs.virtual_key_fields(await _pinned(change, entity), config_ids))
    await update_virtual_key(change, stored.row_id, given)
    if entity.value is not None and entity.value != stored.entity.value:
        await rotate_virtual_key(change, stored.row_id, cooldown=timedelta(0), value=entity.value)


async def _pinned(change: Change, entity: Entity) -> Entity:
    """With the ids of the provider keys it names."""
    names = [name for config in entity.entry.provider_configs for name in config.key_ids]
    return inputs.with_key_ids(entity, await find_provider_keys(change.connection, names))


async def _make_model_config(change: Change, entity: Entity) -> None:
    given = ModelConfigCreate(**inputs.model_config_fields(entity))
    await create_model_config(change, given, model_config_id=entity.id)


async def _edit_model_config(change: Change, stored: Stored, entity: Entity) -> None:
    await update_model_config(change, stored.row_id, ModelConfigUpdate(**inputs.model_config_fields(entity)))


async def _make_provider_limits(change: Change, entity: Entity) -> None:
    await update_provider_limits(change, entity.id, ProviderLimitsUpdate(**inputs.provider_fields(entity)))


async def _edit_provider_limits(change: Change, _stored: Stored, entity: Entity) -> None:
    await _make_provider_limits(change, entity)


async def _make_provider_key(change: Change, entity: Entity) -> None:
    given = ProviderKeyCreate(**inputs.provider_key_fields(entity))
    await create_provider_key(change, given, key_id=entity.entry.id)


async def _edit_provider_key(change: Change, stored: Stored, entity: Entity) -> None:
    """Secrets that are as the file has them stay, so that a file written without them takes none away."""
    differing = differing_secrets(stored, entity)
    fields = inputs.provider_key_fields(entity)
    kept = {name: UNSET for name in ("value", *KEY_CONFIGS) if name not in differing}
    await update_provider_key(change, stored.row_id, ProviderKeyUpdate(**(fields | kept)))


async def _make_mcp_client(change: Change, entity: Entity) -> None:
    await create_mcp_client(change, McpClientCreate(**inputs.mcp_client_fields(entity)))


async def _edit_mcp_client(change: Change, stored: Stored, entity: Entity) -> None:
    await update_mcp_client(change, stored.row_id, McpClientUpdate(**inputs.mcp_client_fields(entity)))


async def _make_pricing_override(change: Change, entity: Entity) -> None:
    given = PricingOverrideCreate(**inputs.pricing_override_fields(entity))
    await create_pricing_override(change, given, override_id=entity.id)


async def _edit_pricing_override(change: Change, stored: Stored, entity: Entity) -> None:
    await update_pricing_override(
        change, stored.row_id, PricingOverrideUpdate(**inputs.pricing_override_fields(entity))
    )


KINDS_OF_ENTITY: dict[Kind, KindOfEntity] = {
    "provider_key": KindOfEntity(_make_provider_key, _edit_provider_key, delete_provider_key),
    "mcp_client": KindOfEntity(_make_mcp_client, _edit_mcp_client, delete_mcp_client),
    "customer": KindOfEntity(_make_customer, _edit_customer, delete_customer),
    "team": KindOfEntity(_make_team, _edit_team, delete_team),
    "virtual_key": KindOfEntity(_make_virtual_key, _edit_virtual_key, delete_virtual_key),
    "model_config": KindOfEntity(_make_model_config, _edit_model_config, delete_model_config),
    "provider": KindOfEntity(_make_provider_limits, _edit_provider_limits, delete_provider_limits),
    "pricing_override": KindOfEntity(_make_pricing_override, _edit_pricing_override, delete_pricing_override),
}
