"""Write the MCP configs of a virtual key: the full set as it should be."""

from collections.abc import Sequence

from service.domain.inputs.virtual_keys import McpConfigInput
from service.domain.refusals import invalid
from service.governance.changes.change import Change
from service.store.virtual_key_configs import (
    delete_mcp_configs,
    find_mcp_client_ids,
    insert_mcp_config,
    list_stored_mcp_configs,
    update_mcp_config,
)


async def write_mcp_configs(change: Change, virtual_key_id: str, wanted: Sequence[McpConfigInput]) -> None:
    """What is not listed goes. Raises RefusedError for an MCP client there is not."""
    stored = await list_stored_mcp_configs(change.connection, virtual_key_id)
    client_ids = await find_mcp_client_ids(change.connection, [config.mcp_client_name for config in wanted])
    for number, config in enumerate(wanted):
        if config.mcp_client_name not in client_ids:
            raise invalid(f"$.mcp_configs[{number}].mcp_client_name", "there is no such MCP client")
    kept = set(client_ids.values())
    await delete_mcp_configs(change.connection, [stored[client_id] for client_id in stored if client_id not in kept])
    for config in wanted:
        client_id, tools = client_ids[config.mcp_client_name], config.tools_to_execute or []
        if client_id in stored:
            await update_mcp_config(change.connection, stored[client_id], tools)
        else:
            await insert_mcp_config(change.connection, virtual_key_id, mcp_client_id=client_id, tools_to_execute=tools)
