"""Customers: the governance tree with live usage."""

from collections.abc import Iterator, Sequence

from aiohttp import web

from service.governance.tree.read import Tree, TreeReader
from service.http.auth import PRINCIPAL
from service.http.errors import json_response, not_found
from service.http.parameters import path_id, query_number, query_text
from service.http.streaming import send_pieces
from service.store.customers import PageQuery

# In full, and with the values of virtual keys masked.
TREE_READER = web.AppKey("tree_reader", TreeReader)
MASKED_TREE_READER = web.AppKey("masked_tree_reader", TreeReader)

_DEFAULT_LIMIT = 25
_LARGEST_LIMIT = 100
# Below this an answer is one write anyway.
_LARGEST_JOINED_BYTES = 128 * 1024


async def list_customers(request: web.Request) -> web.StreamResponse:
    """All customers with their teams, virtual keys, limits and live usage; a page of them when one is asked for.

    `limit` is clamped to 1–100 and counts as 25 when only `offset` or `search` is given; without any of the three the
    answer is the whole tree.
    """
    query = _page_query(request)
    tree = await _reader(request).page(query)
    limit = tree.total_count if query.limit is None else query.limit
    tail = b'],"count":%d,"total_count":%d,"limit":%d,"offset":%d}' % (
        len(tree.customers),
        tree.total_count,
        limit,
        query.offset,
    )
    return await _tree_response(request, tree, (b'{"customers":[', *_separated(tree.customers), tail))


async def get_customer(request: web.Request) -> web.StreamResponse:
    """One customer's tree, with live usage."""
    tree = await _reader(request).customer(path_id(request, "customer_id"))
    if not tree.customers:
        raise not_found("Customer not found")
    return await _tree_response(request, tree, (b'{"customer":', tree.customers[0], b"}"))


def _reader(request: web.Request) -> TreeReader:
    return request.app[TREE_READER if request[PRINCIPAL].sees_secrets else MASKED_TREE_READER]


def _page_query(request: web.Request) -> PageQuery:
    search = query_text(request, "search")
    limit, offset = query_number(request, "limit"), query_number(request, "offset")
    if search is None and limit is None and offset is None:
        return PageQuery()
    if limit is None or limit <= 0:
        limit = _DEFAULT_LIMIT
    return PageQuery(search, min(limit, _LARGEST_LIMIT), max(offset or 0, 0))


def _separated(bodies: list[bytes]) -> Iterator[bytes]:
    for number, body in enumerate(bodies):
        if number:
            yield b","
        yield body


async def _tree_response(request: web.Request, tree: Tree, pieces: Sequence[bytes]) -> web.StreamResponse:
    headers = {"X-Governance-Usage-Source": tree.usage_source}
    size_bytes = sum(map(len, pieces))
    if size_bytes <= _LARGEST_JOINED_BYTES:
        return json_response(b"".join(pieces), headers=headers)
    return await send_pieces(request, pieces, size_bytes=size_bytes, headers=headers)
