"""Bifrost's own read-only lists of keys, providers and MCP clients, for programs that fill their choices from them."""

from collections.abc import AsyncIterator
from itertools import chain
from typing import get_args

from aiohttp import web

from service.domain.catalogue import ListedKey, ListedMcpClient, ListedProvider
from service.domain.inputs.mcp_clients import ConnectionType
from service.governance.catalogue import show_listed_keys, show_listed_mcp_clients, show_listed_providers
from service.governance.tree.shown import Show
from service.http.contract import PAGE, Contract, Parameter, Route
from service.http.parameters import query_choice
from service.http.reading import ENTITY_READER, query_page, read_entities
from service.http.streaming import send_chunks
from service.store.mcp_clients import McpClientQuery, list_mcp_client_ids
from service.store.provider_keys import ProviderKeyQuery, list_provider_key_ids, list_providers

_ENTITIES_PER_PIECE = 250


async def list_keys(request: web.Request) -> web.StreamResponse:
    """All provider keys: an array, as Bifrost has it."""
    ids = await request.app[ENTITY_READER].list_ids(list_provider_key_ids, ProviderKeyQuery())
    return await send_chunks(request, _array(request, show_listed_keys, ids.ids))


async def list_all_providers(request: web.Request) -> web.StreamResponse:
    """Every provider there are keys of, with these."""
    ids = await request.app[ENTITY_READER].list_ids(list_providers, None)
    tail = b',"total":%d}' % ids.total_count
    pieces = _array(request, show_listed_providers, ids.ids, head=b'{"providers":', tail=tail)
    return await send_chunks(request, pieces)


async def list_clients(request: web.Request) -> web.StreamResponse:
    """All MCP clients, or a page of them: an array, as Bifrost has it."""
    asked = query_page(request)
    query = McpClientQuery(
        connection_type=query_choice(request, "connection_type", _CONNECTION_TYPES),
        search=asked.search,
        limit=asked.limit,
        offset=asked.offset,
    )
    ids = await request.app[ENTITY_READER].list_ids(list_mcp_client_ids, query)
    return await send_chunks(request, _array(request, show_listed_mcp_clients, ids.ids))


async def _array(
    request: web.Request, show: Show, ids: list[str], *, head: bytes = b"", tail: bytes = b""
) -> AsyncIterator[bytes]:
    """Each piece is read when the one before was taken."""
    yield head + b"["
    begun = False
    for start in range(0, len(ids), _ENTITIES_PER_PIECE):
        found = await read_entities(request, show, ids[start : start + _ENTITIES_PER_PIECE])
        if found.bodies:
            yield b",".join(chain([b""] if begun else [], found.bodies))
            begun = True
    yield b"]" + tail


_CONNECTION_TYPES = get_args(ConnectionType)
_TYPE = Parameter("connection_type", "text", "only clients of this type", choices=_CONNECTION_TYPES)
_KEYS = Contract(says="List all provider keys as Bifrost does: an array", answer=list[ListedKey])
_PROVIDERS = Contract(
    says="List the providers there are keys of, as Bifrost does",
    answer={"providers": list[ListedProvider], "total": int},
)
_CLIENTS = Contract(
    says="List MCP clients as Bifrost does: an array", query=(*PAGE, _TYPE), answer=list[ListedMcpClient]
)

ROUTES = (
    Route("GET", "/api/keys", "read", list_keys, _KEYS),
    Route("GET", "/api/providers", "read", list_all_providers, _PROVIDERS),
    Route("GET", "/api/mcp/clients", "read", list_clients, _CLIENTS),
)
