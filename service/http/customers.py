"""Customers: the governance tree with live usage."""

from aiohttp import web

from service.governance.tree.read import Tree, TreeReader
from service.http.errors import json_response, not_found
from service.http.parameters import path_id, query_number, query_text
from service.store.customers import PageQuery

TREE_READER = web.AppKey("tree_reader", TreeReader)

_DEFAULT_LIMIT = 25
_LARGEST_LIMIT = 100


async def list_customers(request: web.Request) -> web.Response:
    """All customers with their teams, virtual keys, limits and live usage; a page of them when one is asked for.

    `limit` is clamped to 1–100 and counts as 25 when only `offset` or `search` is given; without any of the three the
    answer is the whole tree.
    """
    query = _page_query(request)
    tree = await request.app[TREE_READER].page(query)
    limit = tree.total_count if query.limit is None else query.limit
    tail = b'],"count":%d,"total_count":%d,"limit":%d,"offset":%d}' % (
        len(tree.customers),
        tree.total_count,
        limit,
        query.offset,
    )
    return _tree_response(tree, b'{"customers":[' + b",".join(tree.customers) + tail)


async def get_customer(request: web.Request) -> web.Response:
    """One customer's tree, with live usage."""
    tree = await request.app[TREE_READER].customer(path_id(request, "customer_id"))
    if not tree.customers:
        raise not_found("Customer not found")
    return _tree_response(tree, b'{"customer":' + tree.customers[0] + b"}")


def _page_query(request: web.Request) -> PageQuery:
    search = query_text(request, "search")
    limit, offset = query_number(request, "limit"), query_number(request, "offset")
    if search is None and limit is None and offset is None:
        return PageQuery()
    if limit is None or limit <= 0:
        limit = _DEFAULT_LIMIT
    return PageQuery(search, min(limit, _LARGEST_LIMIT), max(offset or 0, 0))


def _tree_response(tree: Tree, body: bytes) -> web.Response:
    headers = {"X-Governance-Usage-Source": tree.usage_source}
    return json_response(body, headers=headers)
