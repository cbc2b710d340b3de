"""Model configs: lists of them, and what is written; those that hold the limits of a whole provider among them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from service.store.lists import IdPage
from service.store.postgres import Connection
from service.store.queries import queries


class ModelConfigQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Model configs of any of `scopes`, of a virtual key, of a provider, whose model name contains `search` (any case);
    `limit` None is all of them."""

    search: str | None = None
    scopes: Sequence[str] | None = None
    scope_id: str | None = None
    provider: str | None = None
    limit: int | None = None
    offset: int = 0


class ModelConfigColumns(msgspec.Struct, frozen=True, kw_only=True):
    """What of a model config is written; `virtual_key_id` once, when it is made."""

    virtual_key_id: str | None = None
    model_name: str
    provider: str | None = None
    calendar_aligned: bool = False
    time_zone: str = "UTC"


class StoredModelConfig(ModelConfigColumns, frozen=True, kw_only=True):
    id: str


async def list_model_config_ids(connection: Connection, query: ModelConfigQuery) -> IdPage:
    """Oldest first."""
    narrowed = {
        "search": query.search,
        "scopes": query.scopes,
        "scope_id": query.scope_id,
        "provider": query.provider,
    }
    rows = queries.list_model_config_ids(connection, page_limit=query.limit, page_offset=query.offset, **narrowed)
    page = [row async for row in rows]
    total_count = page[0]["total_count"] if page else await queries.count_model_configs(connection, **narrowed)
    return IdPage([row["id"] for row in page], total_count)


async def lock_model_config(connection: Connection, model_config_id: str) -> ModelConfigColumns | None:
    """What a change starts from; nobody else changes it until the transaction ends."""
    row = await queries.lock_model_config(connection, model_config_id=model_config_id)
    return None if row is None else msgspec.convert(dict(row), ModelConfigColumns)


async def insert_model_config(
    connection: Connection, model_config_id: str, model_config: ModelConfigColumns, *, now: datetime
) -> None:
    columns = msgspec.structs.asdict(model_config)
    await queries.insert_model_config(connection, model_config_id=model_config_id, created_at=now, **columns)


async def update_model_config(connection: Connection, model_config_id: str, model_config: ModelConfigColumns) -> None:
    await queries.update_model_config(
        connection,
        model_config_id=model_config_id,
        model_name=model_config.model_name,
        provider=model_config.provider,
        calendar_aligned=model_config.calendar_aligned,
        time_zone=model_config.time_zone,
    )


async def delete_model_config(connection: Connection, model_config_id: str) -> None:
    await queries.delete_model_config(connection, model_config_id=model_config_id)


async def list_provider_names(connection: Connection, after: str, *, limit: int) -> list[str]:
    """Providers that have limits, by name, from the one after `after`; the empty text is before all."""
    rows = queries.list_provider_names(connection, after=after, page_limit=limit)
    return [row["provider"] async for row in rows]


async def find_provider_model_configs(connection: Connection, providers: Sequence[str]) -> dict[str, str]:
    """By the model config's id, the provider whose limits it holds."""
    rows = queries.list_provider_model_configs(connection, providers=providers)
    return {row["id"]: row["provider"] async for row in rows}


async def lock_provider_model_config(connection: Connection, provider: str) -> StoredModelConfig | None:
    """As `lock_model_config`, by the provider."""
    row = await queries.lock_provider_model_config(connection, provider=provider)
    return None if row is None else msgspec.convert(dict(row), StoredModelConfig)


async def insert_provider_model_config(
    connection: Connection, model_config: StoredModelConfig, *, now: datetime
) -> bool:
    """False when another transaction made it in the meantime."""
    made = await queries.insert_provider_model_config(
        connection,
        model_config_id=model_config.id,
        provider=model_config.provider,
        calendar_aligned=model_config.calendar_aligned,
        time_zone=model_config.time_zone,
        created_at=now,
    )
    return made is not None
