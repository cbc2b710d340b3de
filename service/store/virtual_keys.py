"""Virtual keys."""

import msgspec

from service.store.postgres import Connection
from service.store.queries import queries


class SealedVirtualKey(msgspec.Struct, frozen=True):
    id: str
    value_sealed: bytes


async def list_some_sealed_virtual_keys(connection: Connection) -> list[SealedVirtualKey]:
    """A sample of the latest twenty; empty when there is no virtual key yet."""
    return [
        SealedVirtualKey(row["id"], row["value_sealed"])
        async for row in queries.list_some_sealed_virtual_keys(connection)
    ]
