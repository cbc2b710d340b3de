"""Customers: which of them a read is about, and at which revision."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from service.domain.meters import Tenant
from service.store.postgres import Connection
from service.store.queries import queries


class CustomerPage(msgspec.Struct, frozen=True):
    """The tenants of a page in order, each with its revision, and how many customers match in all."""

    total_count: int
    revisions: dict[Tenant, int]


class PageQuery(msgspec.Struct, frozen=True):
    """Customers whose name contains `search` (any case); `limit` None is all of them."""

    search: str | None = None
    limit: int | None = None
    offset: int = 0


async def find_customer_page(connection: Connection, query: PageQuery) -> CustomerPage:
    row = await queries.find_customer_page(
        connection, search=query.search, page_limit=query.limit, page_offset=query.offset
    )
    return _page(row)


async def find_customer(connection: Connection, customer_id: str) -> CustomerPage:
    """A page of one, or of none when there is no such customer."""
    return _page(await queries.find_customer(connection, customer_id=customer_id))


def _page(row: Mapping[str, Any]) -> CustomerPage:
    tenants = map(Tenant, row["tenant_ids"], row["layouts"])
    return CustomerPage(row["total_count"], dict(zip(tenants, row["revisions"], strict=True)))


class CustomerColumns(msgspec.Struct, frozen=True, kw_only=True):
    """What of a customer is written."""

    name: str
    calendar_aligned: bool = False
    time_zone: str = "UTC"
    max_parallel_requests: int | None = None


async def lock_customer(connection: Connection, customer_id: str) -> CustomerColumns | None:
    """What a change starts from; nobody else changes it until the transaction ends."""
    row = await queries.lock_customer(connection, customer_id=customer_id)
    return None if row is None else msgspec.convert(dict(row), CustomerColumns)


async def insert_customer(
    connection: Connection, customer_id: str, customer: CustomerColumns, *, now: datetime
) -> None:
    await queries.insert_customer(
        connection, customer_id=customer_id, created_at=now, **msgspec.structs.asdict(customer)
    )


async def update_customer(connection: Connection, customer_id: str, customer: CustomerColumns) -> None:
    await queries.update_customer(connection, customer_id=customer_id, **msgspec.structs.asdict(customer))


async def delete_customer(connection: Connection, customer_id: str) -> None:
    await queries.delete_customer(connection, customer_id=customer_id)
