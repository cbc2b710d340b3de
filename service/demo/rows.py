"""The rows of a demo tree: one struct per table, its fields the columns that are written.

What is not here is left to the tables' defaults and triggers, `tenant_id` above all.
"""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct


class ProviderKeyRow(Struct, kw_only=True):
    id: str
    name: str
    provider: str
    value: str
    weight: float
    models: tuple[str, ...]
    azure_key_config: bytes | None
    vertex_key_config: bytes | None
    bedrock_key_config: bytes | None
    created_at: datetime
    updated_at: datetime


class McpClientRow(Struct, kw_only=True):
    id: int
    name: str
    connection_type: str
    connection_string: str
    tools_to_execute: tuple[str, ...]
    allow_by_default: bool
    created_at: datetime
    updated_at: datetime


class CustomerRow(Struct, kw_only=True):
    id: str
    name: str
    calendar_aligned: bool
    time_zone: str
    max_parallel_requests: int | None
    created_at: datetime
    updated_at: datetime


class TeamRow(Struct, kw_only=True):
    id: str
    customer_id: str
    name: str
    calendar_aligned: bool
    time_zone: str = "UTC"
    max_parallel_requests: int | None
    profile: bytes
    config: bytes
    claims: bytes
    created_at: datetime
    updated_at: datetime


class VirtualKeyRow(Struct, kw_only=True):
    id: str
    team_id: str | None
    customer_id: str | None
    name: str
    description: str
    value_hash: bytes
    value_sealed: bytes
    is_active: bool
    expires_at: datetime | None
    delete_after_expire: bool | None
    disable_content_logging: bool | None
    calendar_aligned: bool
    time_zone: str = "UTC"
    allow_all_providers: bool
    max_parallel_requests: int | None
    metadata: bytes
    created_by_user_id: str | None
    created_at: datetime
    updated_at: datetime


class ProviderConfigRow(Struct, kw_only=True):
    id: int
    virtual_key_id: str
    provider: str
    weight: float | None
    allowed_models: tuple[str, ...]
    blacklisted_models: tuple[str, ...]
    allow_all_keys: bool


class PinnedProviderKeyRow(Struct, kw_only=True):
    provider_config_id: int
    provider_key_id: str


class McpConfigRow(Struct, kw_only=True):
    virtual_key_id: str
    mcp_client_id: int
    tools_to_execute: tuple[str, ...]


class LimitRow(Struct, kw_only=True):
    """What budgets and rate limits have in common: exactly one owner."""

    id: str
    customer_id: str | None = None
    team_id: str | None = None
    virtual_key_id: str | None = None
    provider_config_id: int | None = None
    anchored_at: datetime
    created_at: datetime
    updated_at: datetime


class BudgetRow(LimitRow, kw_only=True):
    position: int
    max_limit_nanousd: int
    reset_duration: str
    quarter_start_month: int | None
    override_mode: str | None = None
    override_amount_nanousd: int | None = None
    override_cycles_total: int | None = None
    override_anchor_reset: datetime | None = None


class RateLimitRow(LimitRow, kw_only=True):
    token_max_limit: int | None
    token_reset_duration: str | None
    request_max_limit: int | None
    request_reset_duration: str | None


# In the order they are written: what is pointed at comes first.
TABLES: dict[type[Struct], str] = {
    ProviderKeyRow: "provider_keys",
    McpClientRow: "mcp_clients",
    CustomerRow: "customers",
    TeamRow: "teams",
    VirtualKeyRow: "virtual_keys",
    ProviderConfigRow: "virtual_key_provider_configs",
    PinnedProviderKeyRow: "virtual_key_provider_config_keys",
    McpConfigRow: "virtual_key_mcp_configs",
    BudgetRow: "budgets",
    RateLimitRow: "rate_limits",
}


def json_column(document: Any) -> bytes:
    """A free JSON document as the store's connections take it."""
    return msgspec.json.encode(document)
