"""What a virtual key is granted, as the wire shows it: provider keys and MCP tools."""

from service.domain.entities import McpConfig, ProviderKey
from service.governance.tree.limits import set_or_left_out
from service.store.trees import Row


def provider_key(row: Row) -> ProviderKey:
    """`value` and the key configs are stored as they may be shown."""
    return ProviderKey(
        id=row["id"],
        name=row["name"],
        provider=row["provider"],
        value=row["value"],
        weight=row["weight"],
        models=row["models"],
        azure_key_config=set_or_left_out(row["azure_key_config"]),
        vertex_key_config=set_or_left_out(row["vertex_key_config"]),
        bedrock_key_config=set_or_left_out(row["bedrock_key_config"]),
    )


def mcp_config(row: Row) -> McpConfig:
    return McpConfig(
        id=row["id"],
        virtual_key_id=row["virtual_key_id"],
        mcp_client_id=row["mcp_client_id"],
        mcp_client_name=row["mcp_client_name"],
        tools_to_execute=row["tools_to_execute"],
    )
