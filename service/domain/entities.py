"""The wire's entities, field for field: what `GET /api/governance/customers` is made of.

Arrays are always arrays; an optional scalar or object that is not set is left out (UNSET). Money is in USD here and
only here. `usage` fields hold the current window's usage; `*_last_reset` is the start of that window.
"""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

Instant = Annotated[datetime, Meta(tz=True)]


class Reference(msgspec.Struct, frozen=True):
    """A nested owner: enough to show and to link."""

    id: str
    name: str


class ResetConfig(msgspec.Struct, frozen=True):
    """`quarter_start_month` 1–12: the month a fiscal year's quarters are counted from."""

    quarter_start_month: int


class Budget(msgspec.Struct, kw_only=True):
    """A spend ceiling in USD per window; exactly one owner id is present.

    An alert tells of each of `alert_thresholds`, percents of the limit, once a window. `shadow`: it counts, and
    refuses nothing.
    """

    id: str
    max_limit: float
    reset_duration: str
    last_reset: Instant
    current_usage: float
    override_amount: float | UnsetType = UNSET
    override_mode: str | UnsetType = UNSET
    override_cycles_remaining: int | UnsetType = UNSET
    override_cycles_total: int | UnsetType = UNSET
    override_anchor_reset: Instant | UnsetType = UNSET
    customer_id: str | UnsetType = UNSET
    team_id: str | UnsetType = UNSET
    virtual_key_id: str | UnsetType = UNSET
    provider_config_id: int | UnsetType = UNSET
    model_config_id: str | UnsetType = UNSET
    reset_config: ResetConfig | UnsetType = UNSET
    alert_thresholds: list[int]
    shadow: bool
    config_hash: str
    created_at: Instant
    updated_at: Instant


class RateLimit(msgspec.Struct, kw_only=True):
    """A token limit, a request limit, or both, each per window. `shadow`: it counts, and refuses nothing."""

    id: str
    metric: str | UnsetType = UNSET
    token_max_limit: int | UnsetType = UNSET
    token_reset_duration: str | UnsetType = UNSET
    token_current_usage: int
    token_last_reset: Instant
    request_max_limit: int | UnsetType = UNSET
    request_reset_duration: str | UnsetType = UNSET
    request_current_usage: int
    request_last_reset: Instant
    shadow: bool
    config_hash: str
    created_at: Instant
    updated_at: Instant


class ProviderKey(msgspec.Struct, kw_only=True):
    """An upstream secret as it may be shown: `env.NAME` as given, anything else redacted."""

    id: str
    name: str
    provider: str
    value: str
    weight: float
    models: list[str]
    azure_key_config: Raw | UnsetType = UNSET
    vertex_key_config: Raw | UnsetType = UNSET
    bedrock_key_config: Raw | UnsetType = UNSET


class ModelBudget(msgspec.Struct, kw_only=True):
    """The limits a virtual key has for one model of a provider."""

    model_name: str
    budgets: list[Budget]
    rate_limit: RateLimit | UnsetType = UNSET
    rate_limits: list[RateLimit] | UnsetType = UNSET


class ProviderConfig(msgspec.Struct, kw_only=True):
    """What a virtual key may use of one provider. Without `weight` it is usable but never picked by weight."""

    id: int
    virtual_key_id: str
    provider: str
    weight: float | UnsetType = UNSET
    allowed_models: list[str]
    blacklisted_models: list[str]
    allow_all_keys: bool
    keys: list[ProviderKey]
    budgets: list[Budget]
    rate_limit_id: str | UnsetType = UNSET
    rate_limit: RateLimit | UnsetType = UNSET
    model_budgets: list[ModelBudget] | UnsetType = UNSET


class McpConfig(msgspec.Struct, kw_only=True):
    """The tools of one MCP client a virtual key may execute."""

    id: int
    virtual_key_id: str
    mcp_client_id: int
    mcp_client_name: str
    tools_to_execute: list[str]


class VirtualKey(msgspec.Struct, kw_only=True):
    """The credential a caller sends. `keys` are all provider keys its provider configs are pinned to."""

    id: str
    name: str
    description: str
    value: str
    is_active: bool
    expires_at: Instant | UnsetType = UNSET
    team_id: str | UnsetType = UNSET
    customer_id: str | UnsetType = UNSET
    budget_id: str | UnsetType = UNSET
    rate_limit_id: str | UnsetType = UNSET
    calendar_aligned: bool
    time_zone: str
    allow_all_providers: bool
    max_parallel_requests: int | UnsetType = UNSET
    keys: list[ProviderKey]
    budget: Budget | UnsetType = UNSET
    budgets: list[Budget]
    rate_limit: RateLimit | UnsetType = UNSET
    team: Reference | UnsetType = UNSET
    customer: Reference | UnsetType = UNSET
    provider_configs: list[ProviderConfig]
    mcp_configs: list[McpConfig]
    metadata: Raw
    disable_content_logging: bool | UnsetType = UNSET
    delete_after_expire: bool | UnsetType = UNSET
    created_by_user_id: str | UnsetType = UNSET
    rotated_at: Instant | UnsetType = UNSET
    previous_value_expires_at: Instant | UnsetType = UNSET
    config_hash: str
    created_at: Instant
    updated_at: Instant


class Team(msgspec.Struct, kw_only=True):
    """A group of virtual keys, in a customer or on its own. `profile`, `config` and `claims` are free JSON objects.

    `virtual_keys` is left out of lists of teams and of answers to changes.
    """

    id: str
    name: str
    customer_id: str | UnsetType = UNSET
    budget_id: str | UnsetType = UNSET
    rate_limit_id: str | UnsetType = UNSET
    calendar_aligned: bool
    time_zone: str
    max_parallel_requests: int | UnsetType = UNSET
    customer: Reference | UnsetType = UNSET
    budget: Budget | UnsetType = UNSET
    budgets: list[Budget]
    rate_limit: RateLimit | UnsetType = UNSET
    virtual_keys: list[VirtualKey] | UnsetType = UNSET
    virtual_key_count: int
    profile: Raw
    config: Raw
    claims: Raw
    config_hash: str
    created_at: Instant
    updated_at: Instant


class Customer(msgspec.Struct, kw_only=True):
    """The root of a tree. `virtual_keys` are those of the customer itself; those of its teams are in `teams`.

    `teams` and `virtual_keys` are left out of answers to changes.
    """

    id: str
    name: str
    budget_id: str | UnsetType = UNSET
    rate_limit_id: str | UnsetType = UNSET
    calendar_aligned: bool
    time_zone: str
    max_parallel_requests: int | UnsetType = UNSET
    budget: Budget | UnsetType = UNSET
    budgets: list[Budget]
    rate_limit: RateLimit | UnsetType = UNSET
    teams: list[Team] | UnsetType = UNSET
    virtual_keys: list[VirtualKey] | UnsetType = UNSET
    virtual_key_count: int
    config_hash: str
    created_at: Instant
    updated_at: Instant


class ModelConfig(msgspec.Struct, kw_only=True):
    """Limits for one model (`*`: every one) of one provider (null: every one).

    `scope` is `global` for the whole deployment, or `virtual_key` with `scope_id`. `rate_limit` holds both metrics with
    one period each; `rate_limits` are any number of one metric each.
    """

    id: str
    model_name: str
    provider: str | None
    scope: str
    scope_id: str | UnsetType = UNSET
    scope_name: str | UnsetType = UNSET
    calendar_aligned: bool
    time_zone: str
    budgets: list[Budget]
    rate_limit_id: str | UnsetType = UNSET
    rate_limit: RateLimit | UnsetType = UNSET
    rate_limits: list[RateLimit]
    config_hash: str
    created_at: Instant
    updated_at: Instant
