"""Customers: the governance tree with live usage, and changes of customers."""

from collections.abc import Iterator, Sequence

from aiohttp import hdrs, web

from service.domain.entities import Customer
from service.domain.inputs.owners import CustomerCreate, CustomerUpdate
from service.governance.changes import customers as changes
from service.governance.tree.read import Tree, TreeReader
from service.http.auth import PRINCIPAL
from service.http.changing import creates, deletes, updates
from service.http.contract import API, PAGE, Contract, Route, change, one, page
from service.http.errors import json_response, not_found
from service.http.large_answers import LARGE_ANSWERS
from service.http.parameters import path_id
from service.http.reading import USAGE_SOURCE, query_page
from service.http.streaming import send_pieces
from service.store.customers import PageQuery

# In full, and with the values of virtual keys masked.
TREE_READER = web.AppKey("tree_reader", TreeReader)
MASKED_TREE_READER = web.AppKey("masked_tree_reader", TreeReader)

# Below this an answer is one write anyway.
_LARGEST_JOINED_BYTES = 128 * 1024


async def list_customers(request: web.Request) -> web.StreamResponse:
    """All customers with their teams, virtual keys, limits and live usage; a page of them when one is asked for."""
    asked = query_page(request)
    tree = await _reader(request).page(PageQuery(asked.search, asked.limit, asked.offset))
    limit = tree.total_count if asked.limit is None else asked.limit
    tail = b'],"count":%d,"total_count":%d,"limit":%d,"offset":%d}' % (
        len(tree.customers),
        tree.total_count,
        limit,
        asked.offset,
    )
    return await _tree_response(request, tree, (b'{"customers":[', *_separated(tree.customers), tail))


async def get_customer(request: web.Request) -> web.StreamResponse:
    """One customer's tree, with live usage."""
    tree = await _reader(request).customer(path_id(request, "customer_id"))
    if not tree.customers:
        raise not_found("Customer not found")
    headers = {str(hdrs.ETAG): tree.etag}
    return await _tree_response(request, tree, (b'{"customer":', *tree.customers[0], b"}"), headers=headers)


create_customer = creates("customer", "Customer created successfully", CustomerCreate, changes.create_customer)
update_customer = updates(
    "customer", "Customer updated successfully", CustomerUpdate, changes.update_customer, id_name="customer_id"
)
delete_customer = deletes("Customer deleted successfully", changes.delete_customer, id_name="customer_id")


_ONE = f"{API}/customers/{{customer_id}}"
_LIST = Contract(says="List customers, each with its whole tree", query=PAGE, answer=page("customers", Customer))
_CREATE = Contract(says="Create a customer", body=CustomerCreate, answer=change("customer", Customer))
_READ = Contract(says="Read a customer's whole tree", answer=one("customer", Customer))
_UPDATE = Contract(says="Update a customer", body=CustomerUpdate, answer=change("customer", Customer))
_DELETE = Contract(says="Delete a customer; its teams and virtual keys stay", answer=change())

ROUTES = (
    Route("GET", f"{API}/customers", "read", list_customers, _LIST),
    Route("POST", f"{API}/customers", "admin", create_customer, _CREATE),
    Route("GET", _ONE, "read", get_customer, _READ),
    Route("PUT", _ONE, "admin", update_customer, _UPDATE),
    Route("DELETE", _ONE, "admin", delete_customer, _DELETE),
)


def _reader(request: web.Request) -> TreeReader:
    return request.app[TREE_READER if request[PRINCIPAL].sees_secrets else MASKED_TREE_READER]


def _separated(customers: list[list[bytes]]) -> Iterator[bytes]:
    for number, pieces in enumerate(customers):
        if number:
            yield b","
        yield from pieces


async def _tree_response(
    request: web.Request, tree: Tree, pieces: Sequence[bytes], *, headers: dict[str, str] | None = None
) -> web.StreamResponse:
    headers = {USAGE_SOURCE: tree.usage_source, **(headers or {})}
    size_bytes = sum(map(len, pieces))
    if size_bytes <= _LARGEST_JOINED_BYTES:
        return json_response(b"".join(pieces), headers=headers)
    async with request.app[LARGE_ANSWERS].turn():
        return await send_pieces(request, pieces, size_bytes=size_bytes, headers=headers)
