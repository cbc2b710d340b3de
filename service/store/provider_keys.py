"""Provider keys: lists of them, what may be shown, and what is written."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from service.store.lists import IdPage
from service.store.postgres import Connection
from service.store.queries import queries
from service.store.trees import Row

_KEY_CONFIGS = ("azure_key_config", "vertex_key_config", "bedrock_key_config")


class ProviderKeyQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of a provider, whose name contains `search` (any case); `limit` None is all of them."""

    provider: str | None = None
    search: str | None = None
    limit: int | None = None
    offset: int = 0


class ProviderKeyColumns(msgspec.Struct, frozen=True, kw_only=True):
    """What of a provider key is written. `value` and the configs are as they may be shown, their secrets are sealed."""

    name: str
    provider: str
    value: str = ""
    secrets_sealed: bytes | None = None
    weight: float = 1
    models: Sequence[str] = ()
    azure_key_config: dict[str, Any] | None = None
    vertex_key_config: dict[str, Any] | None = None
    bedrock_key_config: dict[str, Any] | None = None
    is_active: bool = True


async def list_provider_key_ids(connection: Connection, query: ProviderKeyQuery) -> IdPage:
    """Oldest first."""
    narrowed = {"provider": query.provider, "search": query.search}
    rows = queries.list_provider_key_ids(connection, page_limit=query.limit, page_offset=query.offset, **narrowed)
    page = [row async for row in rows]
    total_count = page[0]["total_count"] if page else await queries.count_provider_keys(connection, **narrowed)
    return IdPage([row["id"] for row in page], total_count)


async def list_providers(connection: Connection, _query: None) -> IdPage:
    """Every provider there is a key of."""
    names = [row["provider"] async for row in queries.list_providers(connection)]
    return IdPage(names, len(names))


async def load_provider_keys(
    connection: Connection, *, ids: Sequence[str] = (), providers: Sequence[str] = ()
) -> list[Row]:
    """As they may be shown, oldest first."""
    rows = queries.list_shown_provider_keys(connection, provider_key_ids=ids, providers=providers)
    return [row async for row in rows]


async def lock_provider_key(connection: Connection, provider_key_id: str) -> ProviderKeyColumns | None:
    """What a change starts from; nobody else changes it until the transaction ends."""
    row = await queries.lock_provider_key(connection, provider_key_id=provider_key_id)
    return None if row is None else ProviderKeyColumns(**{name: _decoded(value) for name, value in row.items()})


async def insert_provider_key(
    connection: Connection, provider_key_id: str, key: ProviderKeyColumns, *, now: datetime
) -> None:
    await queries.insert_provider_key(connection, provider_key_id=provider_key_id, created_at=now, **_encoded(key))


async def update_provider_key(connection: Connection, provider_key_id: str, key: ProviderKeyColumns) -> None:
    await queries.update_provider_key(connection, provider_key_id=provider_key_id, **_encoded(key))


async def delete_provider_key(connection: Connection, provider_key_id: str) -> None:
    await queries.delete_provider_key(connection, provider_key_id=provider_key_id)


def _decoded(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, Raw) else value


def _encoded(key: ProviderKeyColumns) -> Mapping[str, Any]:
    columns = msgspec.structs.asdict(key)
    configs = {name: columns[name] for name in _KEY_CONFIGS if columns[name] is not None}
    return columns | {name: msgspec.json.encode(config) for name, config in configs.items()}
