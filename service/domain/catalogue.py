"""What belongs to the whole deployment, as the wire shows it: provider keys, MCP clients and pricing overrides."""

import msgspec
from msgspec import UNSET, Raw, UnsetType

from service.domain.entities import Instant, ProviderKey


class ProviderKeyEntity(ProviderKey, kw_only=True):
    """A provider key by itself: what virtual keys show of it, and whether it is used at all."""

    is_active: bool
    config_hash: str
    created_at: Instant
    updated_at: Instant


class ListedKey(msgspec.Struct, kw_only=True):
    """A provider key in Bifrost's list of all keys. `id` and `key_id` are the same: its versions differ in the name."""

    id: str
    key_id: str
    name: str
    provider: str
    value: str
    models: list[str]
    weight: float
    enabled: bool
    azure_key_config: Raw | UnsetType = UNSET
    vertex_key_config: Raw | UnsetType = UNSET
    bedrock_key_config: Raw | UnsetType = UNSET
    config_hash: str


class ListedProvider(msgspec.Struct, kw_only=True):
    """A provider there are keys of."""

    name: str
    keys: list[ListedKey]


class McpClient(msgspec.Struct, kw_only=True):
    """Whose tools virtual keys may execute. `connection_string` is shown without what is secret in it."""

    id: int
    name: str
    connection_type: str
    connection_string: str
    tools_to_execute: list[str]
    allow_by_default: bool
    config_hash: str
    created_at: Instant
    updated_at: Instant


class McpClientConfig(msgspec.Struct, kw_only=True):
    """An MCP client under the names Bifrost's list has for its fields."""

    id: int
    client_id: str
    name: str
    connection_type: str
    connection_string: str
    tools_to_execute: list[str]
    allow_on_all_virtual_keys: bool
    config_hash: str


class McpTool(msgspec.Struct, kw_only=True):
    name: str


class ListedMcpClient(msgspec.Struct, kw_only=True):
    """An MCP client in Bifrost's list. `tools` are those its config names; nothing here connects to it."""

    config: McpClientConfig
    tools: list[McpTool]
    state: str


class PricingOverrideEntity(msgspec.Struct, kw_only=True):
    """Prices for some models and callers. `pricing_patch` is a JSON text: US dollars per unit, by the price's name."""

    id: str
    name: str
    scope_kind: str
    user_id: str | UnsetType = UNSET
    virtual_key_id: str | UnsetType = UNSET
    provider_id: str | UnsetType = UNSET
    provider_key_id: str | UnsetType = UNSET
    match_type: str
    pattern: str
    request_types: list[str]
    pricing_patch: str
    config_hash: str
    created_at: Instant
    updated_at: Instant
