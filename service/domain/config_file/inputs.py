"""From an entity of a file to what the use cases are given: all it says, and all it leaves out as its default."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from service.domain.config_file.entries import (
    ITSELF,
    BudgetEntry,
    CustomerEntry,
    Entity,
    McpClientEntry,
    ModelConfigEntry,
    OwnedLimits,
    PricingOverrideEntry,
    ProviderKeyEntry,
    RateLimitEntry,
    TeamEntry,
    VirtualKeyEntry,
)
from service.domain.inputs.identified import IdentifiedBudget, IdentifiedRateLimit, IdentifiedRateRule
from service.domain.inputs.limits import RateLimitInput
from service.domain.inputs.mcp_clients import McpClientCreate
from service.domain.inputs.model_configs import ModelConfigCreate, ProviderLimitsUpdate
from service.domain.inputs.owners import CustomerCreate, TeamCreate
from service.domain.inputs.pricing import PricingOverrideCreate
from service.domain.inputs.provider_keys import ProviderKeyCreate
from service.domain.inputs.virtual_keys import McpConfigInput, ProviderConfigInput, VirtualKeyCreate, VirtualKeyUpdate

Fields = dict[str, Any]
# Those that stand in an entry as in an input.
_VIRTUAL_KEY_FIELDS = (
    *("name", "description", "is_active", "delete_after_expire", "disable_content_logging"),
    *("team_id", "customer_id", "allow_all_providers", "metadata"),
)


class _AnyExpiry:
    """A file may hold keys that have expired: it says how things are, and asks for nothing."""

    __slots__ = ()
    expires_at: Any

    def expiry(self, now: datetime) -> datetime | None:  # noqa: ARG002  # as VirtualKeyInput has it
        return None if not self.expires_at else msgspec.convert(self.expires_at, datetime)


class FileVirtualKeyCreate(_AnyExpiry, VirtualKeyCreate, frozen=True, kw_only=True):
    pass


class FileVirtualKeyUpdate(_AnyExpiry, VirtualKeyUpdate, frozen=True, kw_only=True):
    pass


def customer_fields(entity: Entity) -> Fields:
    """Of a CustomerCreate or CustomerUpdate."""
    entry: CustomerEntry = entity.entry
    return {"name": entry.name, **_owner_fields(entity)}


def team_fields(entity: Entity) -> Fields:
    """Of a TeamCreate or TeamUpdate."""
    entry: TeamEntry = entity.entry
    return {"name": entry.name, "customer_id": entry.customer_id, **_owner_fields(entity)}


def virtual_key_fields(entity: Entity, config_ids: Mapping[str, int]) -> Fields:
    """Of a FileVirtualKeyCreate or FileVirtualKeyUpdate; `config_ids` are those of its provider configs there are."""
    entry: VirtualKeyEntry = entity.entry
    return {name: getattr(entry, name) for name in _VIRTUAL_KEY_FIELDS} | {
        "expires_at": "" if entry.expires_at is None else entry.expires_at.isoformat(),
        "provider_configs": [
            ProviderConfigInput(
                id=config_ids.get(config.provider, UNSET),
                provider=config.provider,
                weight=config.weight,
                allowed_models=config.allowed_models,
                blacklisted_models=config.blacklisted_models,
                key_ids=config.key_ids,
                **_limit_fields(entity.limits_of(config.provider)),
            )
            for config in entry.provider_configs
        ],
        "mcp_configs": [
            McpConfigInput(mcp_client_name=config.mcp_client_name, tools_to_execute=config.tools_to_execute)
            for config in entry.mcp_configs
        ],
        **_owner_fields(entity),
    }


def with_key_ids(entity: Entity, names: Mapping[str, str]) -> Entity:
    """A virtual key with what `names` has for the provider keys it is pinned to; those it has nothing for stay."""
    configs = [
        msgspec.structs.replace(config, key_ids=[names.get(name, name) for name in config.key_ids])
        for config in entity.entry.provider_configs
    ]
    return msgspec.structs.replace(entity, entry=msgspec.structs.replace(entity.entry, provider_configs=configs))


def model_config_fields(entity: Entity) -> Fields:
    """Of a ModelConfigCreate or ModelConfigUpdate."""
    entry: ModelConfigEntry = entity.entry
    limits = entity.limits_of()
    fields = {
        "model_name": entry.model_name,
        "provider": entry.provider,
        "scope": entry.scope,
        "scope_id": entry.scope_id,
        "budgets": [_budget(budget) for budget in limits.budgets],
        **_calendar(entry),
    }
    if any(rate_limit.metric is None for rate_limit in limits.rate_limits):
        return fields | {"rate_limit": _rate_limit(limits)}
    return fields | {"rate_limits": [_rule(rate_limit) for rate_limit in limits.rate_limits]}


def provider_fields(entity: Entity) -> Fields:
    """Of a ProviderLimitsUpdate. Rules of one metric can only be there already, and stay."""
    limits = entity.limits_of()
    rules = any(rate_limit.metric for rate_limit in limits.rate_limits)
    fields = _limit_fields(limits) | _calendar(entity.entry)
    return fields | ({"rate_limit": UNSET} if rules else {})


def provider_key_fields(entity: Entity) -> Fields:
    """Of a ProviderKeyCreate or ProviderKeyUpdate."""
    entry: ProviderKeyEntry = entity.entry
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__ if name != "id"}
    return fields | ({"value": UNSET} if entry.value is None else {})


def mcp_client_fields(entity: Entity) -> Fields:
    """Of an McpClientCreate or McpClientUpdate."""
    entry: McpClientEntry = entity.entry
    return {
        "name": entry.name,
        "connection_type": entry.connection_type,
        "connection_string": UNSET if entry.connection_string is None else entry.connection_string,
        "tools_to_execute": entry.tools_to_execute,
        "allow_by_default": entry.allow_by_default,
    }


def pricing_override_fields(entity: Entity) -> Fields:
    """Of a PricingOverrideCreate or PricingOverrideUpdate."""
    entry: PricingOverrideEntry = entity.entry
    return {name: getattr(entry, name) for name in entry.__struct_fields__ if name not in ("id", "pricing_patch")}


def creation(entity: Entity) -> msgspec.Struct:
    """What the entity would be made with, as it is held to the rules."""
    if entity.kind == "virtual_key":
        return FileVirtualKeyCreate(**virtual_key_fields(entity, {}))
    kinds: dict[str, Any] = {
        "customer": (CustomerCreate, customer_fields),
        "team": (TeamCreate, team_fields),
        "model_config": (ModelConfigCreate, model_config_fields),
        "provider": (ProviderLimitsUpdate, provider_fields),
        "provider_key": (ProviderKeyCreate, provider_key_fields),
        "mcp_client": (McpClientCreate, mcp_client_fields),
        "pricing_override": (PricingOverrideCreate, pricing_override_fields),
    }
    input_type, fields = kinds[entity.kind]
    made: msgspec.Struct = input_type(**fields(entity))
    return made


def budget_input(budget: BudgetEntry) -> IdentifiedBudget:
    return _budget(budget)


def rate_limit_input(rate_limit: RateLimitEntry) -> IdentifiedRateLimit:
    return IdentifiedRateLimit(
        id=rate_limit.id,
        token_max_limit=rate_limit.token_max_limit,
        token_reset_duration=rate_limit.token_reset_duration,
        request_max_limit=rate_limit.request_max_limit,
        request_reset_duration=rate_limit.request_reset_duration,
        shadow=rate_limit.shadow,
    )


def _owner_fields(entity: Entity) -> Fields:
    limits = _limit_fields(entity.limits_of(ITSELF))
    return limits | _calendar(entity.entry) | {"max_parallel_requests": entity.entry.max_parallel_requests}


def _calendar(entry: Any) -> Fields:
    return {"calendar_aligned": entry.calendar_aligned, "time_zone": entry.time_zone}


def _limit_fields(limits: OwnedLimits) -> Fields:
    return {"budgets": [_budget(budget) for budget in limits.budgets], "rate_limit": _rate_limit(limits)}


def _budget(budget: BudgetEntry) -> IdentifiedBudget:
    return IdentifiedBudget(
        id=budget.id,
        max_limit=budget.max_limit,
        reset_duration=budget.reset_duration,
        reset_config=budget.reset_config,
        alert_thresholds=budget.alert_thresholds,
        shadow=budget.shadow,
    )


def _rate_limit(limits: OwnedLimits) -> RateLimitInput:
    return rate_limit_input(limits.rate_limits[0]) if limits.rate_limits else RateLimitInput()


def _rule(rate_limit: RateLimitEntry) -> IdentifiedRateRule:
    """A maximum and duration that are missing are a fault of the file, found before."""
    if rate_limit.metric == "tokens":
        maximum, duration = rate_limit.token_max_limit, rate_limit.token_reset_duration
    else:
        maximum, duration = rate_limit.request_max_limit, rate_limit.request_reset_duration
    return IdentifiedRateRule(
        id=rate_limit.id,
        metric=rate_limit.metric or "requests",
        max_limit=maximum or 1,
        reset_duration=duration or "",
        shadow=rate_limit.shadow,
    )
