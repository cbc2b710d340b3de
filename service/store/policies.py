"""What workers hold in memory to decide about calls: virtual keys as they are presented, and all prices."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from service.domain.pricing import ModelPrice, Prices, PricingOverride
from service.store.postgres import Connection
from service.store.queries import queries
from service.store.trees import Row


class ChangedTenant(msgspec.Struct, frozen=True):
    id: str
    revision: int


async def find_presented_virtual_keys(
    connection: Connection, *, value_hashes: Sequence[bytes] = (), virtual_key_ids: Sequence[str] = ()
) -> list[Row]:
    """Those that there are, or were until they were deleted."""
    rows = queries.find_presented_virtual_keys(
        connection, value_hashes=list(value_hashes), virtual_key_ids=list(virtual_key_ids)
    )
    return [row async for row in rows]


async def list_changed_tenants(connection: Connection, *, look_back: timedelta, limit: int) -> list[ChangedTenant]:
    """Those whose configuration changed within `look_back`, oldest change first."""
    rows = queries.list_changed_tenants(connection, look_back=look_back, page_limit=limit)
    return [ChangedTenant(row["id"], row["revision"]) async for row in rows]


async def list_default_mcp_clients(connection: Connection) -> list[Row]:
    """Names and tools of those that are open to every virtual key that says nothing of them."""
    return [row async for row in queries.list_default_mcp_clients(connection)]


async def list_all_model_prices(connection: Connection) -> list[ModelPrice]:
    return [
        ModelPrice(
            provider=row["provider"],
            model=row["model"],
            mode=row["mode"],
            prices=Prices(**{name: row[name] for name in Prices.__struct_fields__}),
        )
        async for row in queries.list_all_model_prices(connection)
    ]


async def list_all_pricing_overrides(connection: Connection) -> list[PricingOverride]:
    return [
        msgspec.convert(dict(row) | {"patch": msgspec.json.decode(row["patch"])}, PricingOverride)
        async for row in queries.list_all_pricing_overrides(connection)
    ]
