"""Changes of MCP clients: their connections are stored as they may be shown; what that hides is sealed."""

import msgspec
from msgspec import UNSET

from service.domain.inputs.mcp_clients import (
    McpClientCreate,
    McpClientInput,
    McpClientUpdate,
    check_connection,
    check_mcp_client,
)
from service.domain.redaction import redacted_connection, sent_secret
from service.domain.refusals import conflict, not_found
from service.domain.sealing import NotOpenedError, sealed_mcp_client
from service.governance.catalogue import mcp_client_number, show_mcp_clients
from service.governance.changes.change import Change
from service.governance.changes.edit import EntityKind, begin_edit, finish_creation, finish_edit, finish_removal
from service.governance.changes.given import merged
from service.store.mcp_clients import (
    McpClientColumns,
    delete_mcp_client as delete_row,
    insert_mcp_client,
    lock_mcp_client,
    next_mcp_client_id,
    update_mcp_client as update_row,
)

MCP_CLIENT = EntityKind("mcp_client", "MCP client", show_mcp_clients)


async def create_mcp_client(change: Change, given: McpClientCreate) -> bytes:
    """Answers the client's JSON. Raises RefusedError."""
    check_mcp_client(given)
    client_id = await next_mcp_client_id(change.connection)
    nothing = McpClientColumns(name=given.name)
    columns = _connected(change, client_id, _merged(nothing, given), connection=_sent(given, nothing, ""))
    await insert_mcp_client(change.connection, client_id, columns, now=change.now)
    return await finish_creation(change, MCP_CLIENT, str(client_id))


async def update_mcp_client(change: Change, mcp_client_id: str, given: McpClientUpdate) -> bytes:
    """A connection that is left out, or sent back as it is shown, stays. Raises RefusedError."""
    check_mcp_client(given)
    client_id, stored_columns = await _lock(change, mcp_client_id)
    before = await begin_edit(change, MCP_CLIENT, mcp_client_id)
    stored = _opened(change, client_id, stored_columns)
    sent = _sent(given, stored_columns, stored)
    columns = _connected(change, client_id, _merged(stored_columns, given), connection=sent)
    await update_row(change.connection, client_id, columns)
    if sent != stored:
        changes = {"connection_string": [stored_columns.connection_string, columns.connection_string]}
        entity = (MCP_CLIENT.type, mcp_client_id)
        await change.note("replace_connection", entity, changes=changes, tenant_id=before.tenant_id)
    return await finish_edit(change, MCP_CLIENT, before)


async def delete_mcp_client(change: Change, mcp_client_id: str) -> None:
    """Virtual keys may no longer execute its tools. Raises RefusedError."""
    client_id, _ = await _lock(change, mcp_client_id)
    before = await begin_edit(change, MCP_CLIENT, mcp_client_id)
    await delete_row(change.connection, client_id)
    await finish_removal(change, MCP_CLIENT, before)


def _merged(columns: McpClientColumns, given: McpClientInput) -> McpClientColumns:
    allowed = given.allowed_by_default
    new = merged(columns, given)
    return new if allowed in (UNSET, None) else msgspec.structs.replace(new, allow_by_default=allowed)


def _sent(given: McpClientInput, columns: McpClientColumns, stored: str) -> str:
    """The connection in full; `columns` are as they are stored."""
    if given.connection_string in (UNSET, None):
        return stored
    text = str(given.connection_string)
    return sent_secret(text, stored, "$.connection_string", stored_as=columns.connection_string)


def _connected(change: Change, client_id: int, columns: McpClientColumns, *, connection: str) -> McpClientColumns:
    """With the connection as it may be shown, and sealed when that hides a part of it."""
    check_connection(columns.connection_type, connection)
    shown = redacted_connection(connection)
    sealed = None if shown == connection else change.sealer.seal(connection, belongs_to=sealed_mcp_client(client_id))
    return msgspec.structs.replace(columns, connection_string=shown, connection_sealed=sealed)


def _opened(change: Change, client_id: int, columns: McpClientColumns) -> str:
    if columns.connection_sealed is None:
        return columns.connection_string
    try:
        return change.sealer.open(columns.connection_sealed, belongs_to=sealed_mcp_client(client_id))
    except NotOpenedError as error:
        raise conflict("The stored connection can no longer be read: delete the client and create it anew") from error


async def _lock(change: Change, mcp_client_id: str) -> tuple[int, McpClientColumns]:
    client_id = mcp_client_number(mcp_client_id)
    columns = None if client_id is None else await lock_mcp_client(change.connection, client_id)
    if client_id is None or columns is None:
        raise not_found("MCP client not found")
    return client_id, columns
