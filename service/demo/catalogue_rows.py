"""The rows of the demo's provider keys and MCP clients: each seed has its own."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from service.demo.catalogue import MCP_CLIENTS, PROVIDER_KEYS, McpClient, ProviderKey
from service.demo.rows import McpClientRow, ProviderKeyRow, json_column
from service.demo.shape import DEFAULT_SEED, DemoTree, created_at, demo_id

_BEFORE_CUSTOMERS = timedelta(days=1)


def catalogue_rows(tree: DemoTree) -> Iterator[Struct]:
    """In the order of the catalogue, a second apart, a day before the first customer."""
    first = created_at(tree, 0) - _BEFORE_CUSTOMERS
    for number, key in enumerate(PROVIDER_KEYS):
        yield _provider_key_row(tree, key, made_at=first + timedelta(seconds=number))
    for number, client in enumerate(MCP_CLIENTS):
        yield _mcp_client_row(tree, client, made_at=first + timedelta(seconds=number))


def provider_key_id(tree: DemoTree, name: str) -> str:
    return demo_id(tree, 0, f"provider_key {name}")


def _provider_key_row(tree: DemoTree, key: ProviderKey, *, made_at: datetime) -> ProviderKeyRow:
    return ProviderKeyRow(
        id=provider_key_id(tree, key.name),
        name=_name(tree, key.name),
        provider=key.provider,
        value=key.value,
        weight=key.weight,
        models=key.models,
        azure_key_config=_json_or_null(key.azure_key_config),
        vertex_key_config=_json_or_null(key.vertex_key_config),
        bedrock_key_config=_json_or_null(key.bedrock_key_config),
        created_at=made_at,
        updated_at=made_at,
    )


def _mcp_client_row(tree: DemoTree, client: McpClient, *, made_at: datetime) -> McpClientRow:
    return McpClientRow(
        id=tree.mcp_client_ids[client.name],
        name=_name(tree, client.name),
        connection_type=client.connection_type,
        connection_string=client.connection_string,
        tools_to_execute=client.tools,
        allow_by_default=client.allow_by_default,
        created_at=made_at,
        updated_at=made_at,
    )


def _name(tree: DemoTree, name: str) -> str:
    seed = tree.shape.seed
    return name if seed == DEFAULT_SEED else f"{name}-{seed}"


def _json_or_null(document: dict[str, Any] | None) -> bytes | None:
    return None if document is None else json_column(document)
