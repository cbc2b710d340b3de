"""MCP clients: lists of them, what may be shown, and what is written."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from service.store.lists import IdPage
from service.store.postgres import Connection
from service.store.queries import queries
from service.store.trees import Row


class McpClientQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Clients of a connection type, whose name contains `search` (any case); `limit` None is all of them."""

    connection_type: str | None = None
    search: str | None = None
    limit: int | None = None
    offset: int = 0


class McpClientColumns(msgspec.Struct, frozen=True, kw_only=True):
    """What of a client is written. `connection_string` is as it may be shown; what that hides is sealed."""

    name: str
    connection_type: str = "http"
    connection_string: str = ""
    connection_sealed: bytes | None = None
    tools_to_execute: Sequence[str] = ("*",)
    allow_by_default: bool = False


async def list_mcp_client_ids(connection: Connection, query: McpClientQuery) -> IdPage:
    """Oldest first."""
    narrowed = {"connection_type": query.connection_type, "search": query.search}
    rows = queries.list_mcp_client_ids(connection, page_limit=query.limit, page_offset=query.offset, **narrowed)
    page = [row async for row in rows]
    total_count = page[0]["total_count"] if page else await queries.count_mcp_clients(connection, **narrowed)
    return IdPage([str(row["id"]) for row in page], total_count)


async def load_mcp_clients(connection: Connection, ids: Sequence[int]) -> list[Row]:
    """As they may be shown, oldest first."""
    return [row async for row in queries.list_shown_mcp_clients(connection, mcp_client_ids=ids)]


async def lock_mcp_client(connection: Connection, mcp_client_id: int) -> McpClientColumns | None:
    """What a change starts from; nobody else changes it until the transaction ends."""
    row = await queries.lock_mcp_client(connection, mcp_client_id=mcp_client_id)
    return None if row is None else McpClientColumns(**dict(row))


async def next_mcp_client_id(connection: Connection) -> int:
    mcp_client_id: int = await queries.next_mcp_client_id(connection)
    return mcp_client_id


async def insert_mcp_client(
    connection: Connection, mcp_client_id: int, client: McpClientColumns, *, now: datetime
) -> None:
    await queries.insert_mcp_client(
        connection, mcp_client_id=mcp_client_id, created_at=now, **msgspec.structs.asdict(client)
    )


async def update_mcp_client(connection: Connection, mcp_client_id: int, client: McpClientColumns) -> None:
    await queries.update_mcp_client(connection, mcp_client_id=mcp_client_id, **msgspec.structs.asdict(client))


async def delete_mcp_client(connection: Connection, mcp_client_id: int) -> None:
    await queries.delete_mcp_client(connection, mcp_client_id=mcp_client_id)
