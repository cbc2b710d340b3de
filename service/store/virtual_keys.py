"""Virtual keys."""

from collections.abc import Sequence

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


async def count_owned_virtual_keys(
    connection: Connection, *, customer_ids: Sequence[str] = (), team_ids: Sequence[str] = ()
) -> dict[str, int]:
    """By the owner's id; an owner without any is left out."""
    rows = queries.count_owned_virtual_keys(connection, customer_ids=customer_ids, team_ids=team_ids)
    return {row["owner_id"]: row["virtual_key_count"] async for row in rows}
