"""The entries of a file, by section. A field that is left out has its default; so has one that is null.

An entry that was read and one made from what is stored are the same type, so that they can be compared.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from service.domain.entities import Instant
from service.domain.inputs.fields import (
    AlertThresholds,
    Count,
    Description,
    Duration,
    Id,
    LimitUsd,
    Name,
    OwnerId,
    Parallel,
    TimeZone,
    Weight,
)
from service.domain.inputs.limits import DEFAULT_ALERT_THRESHOLDS, ResetConfigInput
from service.domain.inputs.lists import EVERYTHING, Items
from service.domain.inputs.mcp_clients import ConnectionString, ConnectionType
from service.domain.inputs.model_configs import Metric
from service.domain.inputs.pricing import Patch, RequestTypes
from service.domain.inputs.provider_keys import KeyConfig, Provider, Secret
from service.domain.inputs.virtual_keys import Metadata
from service.domain.pricing import MatchType, ScopeKind

_MOST_CONFIGS = 200
_MOST_LIMITS = 50
_LONGEST_VALUE = 255

# As the audit log calls them.
Kind = Literal[
    "provider_key", "mcp_client", "customer", "team", "virtual_key", "model_config", "provider", "pricing_override"
]
LimitIds = Annotated[list[Id], Meta(max_length=_MOST_LIMITS)]
Free = Annotated[dict[str, Any], Meta(max_length=200)]
DatabaseId = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a file."""


class BudgetEntry(Entry, frozen=True, kw_only=True):
    """One owner at most is named here; it may name the budget instead. Override fields left out: it stays as it is."""

    id: Id
    max_limit: LimitUsd
    reset_duration: Duration
    reset_config: ResetConfigInput | None = None
    override_mode: Literal["cycles", "forever"] | None = None
    override_amount: LimitUsd | None = None
    override_cycles_total: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    override_anchor_reset: Instant | None = None
    alert_thresholds: AlertThresholds = msgspec.field(default_factory=lambda: [*DEFAULT_ALERT_THRESHOLDS])
    shadow: bool = False
    customer_id: OwnerId = ""
    team_id: OwnerId = ""
    virtual_key_id: OwnerId = ""
    model_config_id: OwnerId = ""
    provider_config_id: DatabaseId | None = None


class RateLimitEntry(Entry, frozen=True, kw_only=True):
    """`metric` is set for a model config's rules of one metric each."""

    id: Id
    metric: Metric | None = None
    token_max_limit: Count | None = None
    token_reset_duration: Duration | None = None
    request_max_limit: Count | None = None
    request_reset_duration: Duration | None = None
    shadow: bool = False


class LimitedEntry(Entry, frozen=True, kw_only=True):
    """An owner of limits, and those it names itself."""

    budget_id: Id | None = None
    budget_ids: LimitIds = []
    rate_limit_id: Id | None = None


class AlignedEntry(LimitedEntry, frozen=True, kw_only=True):
    calendar_aligned: bool = False
    time_zone: TimeZone = "UTC"


class CustomerEntry(AlignedEntry, frozen=True, kw_only=True):
    id: Id
    name: Name
    max_parallel_requests: Parallel | None = None


class TeamEntry(AlignedEntry, frozen=True, kw_only=True):
    id: Id
    name: Name
    customer_id: OwnerId = ""
    max_parallel_requests: Parallel | None = None
    profile: Free = {}
    config: Free = {}
    claims: Free = {}


class ProviderConfigEntry(LimitedEntry, frozen=True, kw_only=True):
    """`key_ids` are names of provider keys, or their ids; `id` is what budgets of the file call it by."""

    id: DatabaseId | None = None
    provider: Name
    weight: Weight | None = None
    allowed_models: Items = []
    blacklisted_models: Items = []
    key_ids: Items = []


class McpConfigEntry(Entry, frozen=True, kw_only=True):
    mcp_client_name: Name
    tools_to_execute: Items = []


class VirtualKeyEntry(AlignedEntry, frozen=True, kw_only=True):
    """`value` is the key itself, or `env.NAME` of a variable that holds it; left out it stays, or is made."""

    id: Id
    name: Name
    description: Description = ""
    value: Annotated[str, Meta(min_length=1, max_length=_LONGEST_VALUE)] | None = None
    is_active: bool = True
    expires_at: Instant | None = None
    delete_after_expire: bool | None = None
    disable_content_logging: bool | None = None
    team_id: OwnerId = ""
    customer_id: OwnerId = ""
    allow_all_providers: bool = False
    max_parallel_requests: Parallel | None = None
    metadata: Metadata = {}
    created_by_user_id: Name | None = None
    provider_configs: Annotated[list[ProviderConfigEntry], Meta(max_length=_MOST_CONFIGS)] = []
    mcp_configs: Annotated[list[McpConfigEntry], Meta(max_length=_MOST_CONFIGS)] = []


class ModelConfigEntry(AlignedEntry, frozen=True, kw_only=True):
    id: Id
    model_name: Name
    provider: Annotated[str, Meta(max_length=255)] = ""
    scope: Literal["global", "virtual_key"] = "global"
    scope_id: OwnerId = ""
    rate_limit_ids: LimitIds = []


class ProviderEntry(AlignedEntry, frozen=True, kw_only=True):
    """The limits of a whole provider."""

    name: Name


class ProviderKeyEntry(Entry, frozen=True, kw_only=True):
    """`env.NAME` stays as it is: it names a variable of the gateway's. `provider` is its place in the file."""

    id: Id | None = None
    name: Name
    provider: Provider
    value: Secret | None = None
    weight: Weight = 1
    models: Items = []
    azure_key_config: KeyConfig | None = None
    vertex_key_config: KeyConfig | None = None
    bedrock_key_config: KeyConfig | None = None
    is_active: bool = True


class McpClientEntry(Entry, frozen=True, kw_only=True):
    """A connection that is left out stays. `allow_on_all_virtual_keys` is the older name of `allow_by_default`."""

    name: Name
    connection_type: ConnectionType = "http"
    connection_string: ConnectionString | None = None
    tools_to_execute: Items = msgspec.field(default_factory=lambda: [EVERYTHING])
    allow_by_default: bool = False
    allow_on_all_virtual_keys: bool = False


class PricingOverrideEntry(Entry, frozen=True, kw_only=True):
    """`patch` is in US dollars per unit; `pricing_patch`, the same as a JSON text, is as good."""

    id: Id
    name: Name
    scope_kind: ScopeKind
    user_id: OwnerId = ""
    virtual_key_id: OwnerId = ""
    provider_id: OwnerId = ""
    provider_key_id: OwnerId = ""
    match_type: MatchType
    pattern: Id
    request_types: RequestTypes = []
    patch: Patch = {}
    pricing_patch: str | None = None


class OwnedLimits(Entry, frozen=True, kw_only=True):
    """The limits of one owner, budgets in the order they are shown in; two rate limits are rules of a model config."""

    budgets: list[BudgetEntry] = []
    rate_limits: list[RateLimitEntry] = []


def said(value: Any) -> Any:
    """An entry as JSON, without what would be the same if it were not there: the same for all ways to say it."""
    if isinstance(value, list):
        return [said(item) for item in value]
    if not isinstance(value, Entry):
        return msgspec.to_builtins(value)
    fields = {field.name: (getattr(value, field.name), _default(field)) for field in msgspec.structs.fields(value)}
    return {name: said(item) for name, (item, default) in fields.items() if item != default}


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


# Whose limits of an entity: its own, or by the provider those of one of a virtual key's provider configs.
ITSELF = ""


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """An entry with the limits that belong to it, and no longer names. `value` is a virtual key's own, if given."""

    kind: Kind
    id: str
    path: str = "$"
    entry: Any
    limits: dict[str, OwnedLimits] = {}
    value: str | None = None

    def limits_of(self, part: str = ITSELF) -> OwnedLimits:
        return self.limits.get(part, OwnedLimits())
