"""Changes of customers."""

from service.domain.inputs.limits import check_limits
from service.domain.inputs.owners import CustomerCreate, CustomerUpdate
from service.domain.refusals import not_found
from service.governance.changes.change import Change, new_id
from service.governance.changes.edit import EntityKind, begin_edit, finish_creation, finish_edit, finish_removal
from service.governance.changes.given import merged
from service.governance.changes.limits import write_limits
from service.governance.tree.shown import show_customers
from service.store.customers import (
    CustomerColumns,
    delete_customer as delete_row,
    insert_customer,
    lock_customer,
    update_customer as update_row,
)
from service.store.limits import LimitOwner

CUSTOMER = EntityKind("customer", "Customer", show_customers)
_NULLABLE = frozenset({"max_parallel_requests"})


async def create_customer(change: Change, given: CustomerCreate, *, customer_id: str | None = None) -> bytes:
    """Answers the customer's JSON. Raises RefusedError."""
    check_limits(given)
    customer_id = customer_id or new_id()
    columns = merged(CustomerColumns(name=given.name), given, nullable=_NULLABLE)
    await insert_customer(change.connection, customer_id, columns, now=change.now)
    await write_limits(change, LimitOwner("customer_id", customer_id), given)
    return await finish_creation(change, CUSTOMER, customer_id)


async def update_customer(change: Change, customer_id: str, given: CustomerUpdate) -> bytes:
    """Answers the customer's JSON. Raises RefusedError."""
    check_limits(given)
    columns = await _lock(change, customer_id)
    before = await begin_edit(change, CUSTOMER, customer_id)
    await update_row(change.connection, customer_id, merged(columns, given, nullable=_NULLABLE))
    await write_limits(change, LimitOwner("customer_id", customer_id), given)
    return await finish_edit(change, CUSTOMER, before, reset_budget_usage=given.reset_budget_usage)


async def delete_customer(change: Change, customer_id: str) -> None:
    """Its teams and virtual keys stay, on their own. Raises RefusedError."""
    await _lock(change, customer_id)
    before = await begin_edit(change, CUSTOMER, customer_id)
    await delete_row(change.connection, customer_id)
    await finish_removal(change, CUSTOMER, before)


async def _lock(change: Change, customer_id: str) -> CustomerColumns:
    columns = await lock_customer(change.connection, customer_id)
    if columns is None:
        raise not_found("Customer not found")
    return columns
