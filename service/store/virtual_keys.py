"""Virtual keys: lists of them, who presents one, and what is written."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from service.store.lists import IdPage
from service.store.postgres import Connection
from service.store.queries import queries

SortBy = Literal["name", "budget_spent", "created_at", "status"]


class SealedVirtualKey(msgspec.Struct, frozen=True):
    id: str
    value_sealed: bytes


class VirtualKeyQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of the customer or of the team, whose names or metadata hold `search`; `limit` None is all of them.

    `of_nobody`: an owner is asked for that no key has. `as_of` is when budgets and expiry are looked at.
    """

    customer_id: str | None = None
    team_id: str | None = None
    of_nobody: bool = False
    search: str | None = None
    metadata: dict[str, str] | None = None
    sort_by: SortBy = "created_at"
    descending: bool = False
    limit: int | None = None
    offset: int = 0
    as_of: datetime


class VirtualKeyColumns(msgspec.Struct, frozen=True, kw_only=True):
    """What of a virtual key is written, but for its value."""

    name: str
    team_id: str | None = None
    customer_id: str | None = None
    description: str = ""
    is_active: bool = True
    expires_at: datetime | None = None
    delete_after_expire: bool | None = None
    disable_content_logging: bool | None = None
    calendar_aligned: bool = False
    time_zone: str = "UTC"
    allow_all_providers: bool = False
    max_parallel_requests: int | None = None
    metadata: dict[str, str] = {}


class KeyValue(msgspec.Struct, frozen=True):
    """A value as it is kept: what it is looked up by, and sealed."""

    value_hash: bytes
    value_sealed: bytes


class PresentedKey(msgspec.Struct, frozen=True):
    id: str
    expires_at: datetime | None


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


async def list_virtual_key_ids(connection: Connection, query: VirtualKeyQuery) -> IdPage:
    """A page in the order asked for; what is alike in it, oldest first."""
    narrowed = {
        "customer_id": query.customer_id,
        "team_id": query.team_id,
        "of_nobody": query.of_nobody,
        "search": query.search,
        "metadata": None if query.metadata is None else msgspec.json.encode(query.metadata),
    }
    page = {"page_limit": query.limit, "page_offset": query.offset}
    if query.sort_by == "created_at" and not query.descending:
        rows = queries.list_virtual_key_ids(connection, **narrowed, **page)
    else:
        order = {"sort_by": query.sort_by, "descending": query.descending, "as_of": query.as_of}
        rows = queries.list_sorted_virtual_key_ids(connection, **narrowed, **order, **page)
    ids = [row["id"] async for row in rows]
    return IdPage(ids, await queries.count_virtual_keys(connection, **narrowed))


async def lock_virtual_key(connection: Connection, virtual_key_id: str) -> VirtualKeyColumns | None:
    """What a change starts from; nobody else changes it until the transaction ends."""
    row = await queries.lock_virtual_key(connection, virtual_key_id=virtual_key_id)
    if row is None:
        return None
    return msgspec.convert({**row, "metadata": msgspec.json.decode(row["metadata"])}, VirtualKeyColumns)


async def insert_virtual_key(
    connection: Connection, virtual_key_id: str, columns: VirtualKeyColumns, *, value: KeyValue, now: datetime
) -> None:
    await queries.insert_virtual_key(
        connection,
        virtual_key_id=virtual_key_id,
        value_hash=value.value_hash,
        value_sealed=value.value_sealed,
        created_at=now,
        **_written(columns),
    )


async def update_virtual_key(connection: Connection, virtual_key_id: str, columns: VirtualKeyColumns) -> None:
    await queries.update_virtual_key(connection, virtual_key_id=virtual_key_id, **_written(columns))


async def rotate_virtual_key(
    connection: Connection,
    virtual_key_id: str,
    *,
    value: KeyValue,
    previous_value_expires_at: datetime | None,
    now: datetime,
) -> None:
    """The value that was goes on working until `previous_value_expires_at`; None: not at all."""
    await queries.rotate_virtual_key(
        connection,
        virtual_key_id=virtual_key_id,
        value_hash=value.value_hash,
        value_sealed=value.value_sealed,
        previous_value_expires_at=previous_value_expires_at,
        rotated_at=now,
    )


async def delete_virtual_key(connection: Connection, virtual_key_id: str) -> None:
    await queries.delete_virtual_key(connection, virtual_key_id=virtual_key_id)


async def find_virtual_key_by_hash(
    connection: Connection, value_hash: bytes, *, as_of: datetime
) -> PresentedKey | None:
    """Also by the value it had before, while that still works."""
    row: Mapping[str, Any] | None = await queries.find_virtual_key_by_hash(
        connection, value_hash=value_hash, as_of=as_of
    )
    return None if row is None else PresentedKey(row["id"], row["expires_at"])


def _written(columns: VirtualKeyColumns) -> dict[str, Any]:
    return {**msgspec.structs.asdict(columns), "metadata": msgspec.json.encode(columns.metadata)}
