"""MCP clients: reads, without what is secret in their connections, and changes."""

from aiohttp import web

from service.domain.catalogue import McpClient
from service.domain.inputs.mcp_clients import McpClientCreate, McpClientUpdate
from service.governance.catalogue import show_mcp_clients
from service.governance.changes import mcp_clients as changes
from service.http.changing import creates, deletes, updates
from service.http.contract import API, PAGE, Contract, Route, change, one, page
from service.http.reading import ENTITY_READER, list_response, query_page, reads
from service.store.mcp_clients import McpClientQuery, list_mcp_client_ids


async def list_mcp_clients(request: web.Request) -> web.StreamResponse:
    """MCP clients, oldest first."""
    asked = query_page(request)
    query = McpClientQuery(search=asked.search, limit=asked.limit, offset=asked.offset)
    ids = await request.app[ENTITY_READER].list_ids(list_mcp_client_ids, query)
    return await list_response(request, "mcp_clients", show_mcp_clients, ids, asked)


get_mcp_client = reads("mcp_client", "MCP client", show_mcp_clients, id_name="mcp_client_id")
create_mcp_client = creates("mcp_client", "MCP client created successfully", McpClientCreate, changes.create_mcp_client)
update_mcp_client = updates(
    "mcp_client",
    "MCP client updated successfully",
    McpClientUpdate,
    changes.update_mcp_client,
    id_name="mcp_client_id",
)
delete_mcp_client = deletes("MCP client deleted successfully", changes.delete_mcp_client, id_name="mcp_client_id")

_ALL = f"{API}/mcp-clients"
_ONE = f"{_ALL}/{{mcp_client_id}}"
_CLIENT = change("mcp_client", McpClient)
_LIST = Contract(says="List MCP clients", query=PAGE, answer=page("mcp_clients", McpClient))
_CREATE = Contract(says="Create an MCP client", body=McpClientCreate, answer=_CLIENT)
_READ = Contract(says="Read an MCP client", answer=one("mcp_client", McpClient))
_UPDATE = Contract(says="Update an MCP client", body=McpClientUpdate, answer=_CLIENT)
_DELETE = Contract(says="Delete an MCP client; virtual keys may no longer execute its tools", answer=change())

ROUTES = (
    Route("GET", _ALL, "read", list_mcp_clients, _LIST),
    Route("POST", _ALL, "admin", create_mcp_client, _CREATE),
    Route("GET", _ONE, "read", get_mcp_client, _READ),
    Route("PUT", _ONE, "admin", update_mcp_client, _UPDATE),
    Route("DELETE", _ONE, "admin", delete_mcp_client, _DELETE),
)
