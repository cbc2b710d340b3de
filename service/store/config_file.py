"""What a configuration file is written from and compared with, in bounded pieces; and what only an import writes."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from service.store.postgres import Connection
from service.store.queries import queries

PIECE = 200
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Listed(msgspec.Struct, frozen=True):
    """`name` is that of a provider key or MCP client, `provider` a provider key's, or that of a model config that holds
    the limits of a whole provider."""

    id: str
    name: str | None = None
    provider: str | None = None


class LimitOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a limit is: of one kind of owner, `provider` beside a virtual key for that part of it, alone for a whole
    provider."""

    kind: str
    id: str
    tenant_id: str
    customer_id: str | None
    team_id: str | None
    virtual_key_id: str | None
    model_config_id: str | None
    provider: str | None


async def lock_config_import(connection: Connection) -> None:
    """Waits until no other import is under way; held until the transaction ends."""
    await queries.lock_config_import(connection)


async def list_pieces(connection: Connection, kind: str) -> AsyncIterator[list[Listed]]:
    """All entities of a kind, in the order of creation."""
    if kind == "mcp_client":
        async for piece in _mcp_client_pieces(connection):
            yield piece
        return
    query = getattr(queries, f"list_{kind}_ids_after")
    created_at, last_id = _BEGINNING, ""
    while True:
        rows = [row async for row in query(connection, after_created_at=created_at, after_id=last_id, page_limit=PIECE)]
        if rows:
            yield [Listed(row["id"], row.get("name"), row.get("provider")) for row in rows]
            created_at, last_id = rows[-1]["created_at"], rows[-1]["id"]
        if len(rows) < PIECE:
            return


async def load_sealed(connection: Connection, kind: str, ids: Sequence[Any]) -> dict[Any, bytes]:
    """The sealed secrets of provider keys or MCP clients by their ids, of those that have any."""
    if kind == "provider_key":
        rows = queries.list_sealed_provider_keys(connection, provider_key_ids=ids)
    else:
        rows = queries.list_sealed_mcp_clients(connection, mcp_client_ids=ids)
    return {row["id"]: row["sealed"] async for row in rows}


async def find_provider_keys(connection: Connection, names: Sequence[str]) -> dict[str, str]:
    """The id of each by its name, of those that have one of `names` as name or id."""
    return {row["name"]: row["id"] async for row in queries.find_provider_keys(connection, names=names)}


async def find_entities(connection: Connection, named: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those that there are of the kinds and names."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for kind, name in named:
        names[kind].append(name)
    rows = queries.find_entities(
        connection,
        customer_ids=names["customer"],
        team_ids=names["team"],
        virtual_key_ids=names["virtual_key"],
        provider_keys=names["provider_key"],
        mcp_client_names=names["mcp_client"],
    )
    return {(row["kind"], row["name"]) async for row in rows}


async def list_limit_owners(
    connection: Connection, *, budget_ids: Sequence[str] = (), rate_limit_ids: Sequence[str] = ()
) -> list[LimitOwner]:
    rows = queries.list_limit_owners(connection, budget_ids=budget_ids, rate_limit_ids=rate_limit_ids)
    return [LimitOwner(**row) async for row in rows]


async def set_config_hash(connection: Connection, kind: str, entity_id: str, config_hash: str) -> None:
    """By the id; providers, provider keys and MCP clients by the name."""
    await getattr(queries, f"set_{kind}_hash")(connection, entity_id=entity_id, config_hash=config_hash)


async def set_team_documents(connection: Connection, team_id: str, documents: dict[str, Any]) -> None:
    """`profile`, `config` and `claims`."""
    encoded = {name: msgspec.json.encode(document) for name, document in documents.items()}
    await queries.set_team_documents(connection, team_id=team_id, **encoded)


async def set_virtual_key_creator(connection: Connection, virtual_key_id: str, user_id: str | None) -> None:
    await queries.set_virtual_key_creator(connection, virtual_key_id=virtual_key_id, created_by_user_id=user_id)


async def _mcp_client_pieces(connection: Connection) -> AsyncIterator[list[Listed]]:
    last_id = 0
    while True:
        rows = [row async for row in queries.list_mcp_client_ids_after(connection, after_id=last_id, page_limit=PIECE)]
        if rows:
            yield [Listed(str(row["id"]), row["name"]) for row in rows]
            last_id = rows[-1]["id"]
        if len(rows) < PIECE:
            return
