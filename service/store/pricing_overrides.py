"""Pricing overrides: lists of them, and what is written."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from service.domain.pricing import MatchType, ScopeKind
from service.store.lists import IdPage
from service.store.postgres import Connection
from service.store.queries import queries
from service.store.trees import Row


class PricingOverrideQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Overrides of a scope, whose name or pattern contains `search` (any case); `limit` None is all of them."""

    scope_kind: str | None = None
    user_id: str | None = None
    virtual_key_id: str | None = None
    provider_id: str | None = None
    provider_key_id: str | None = None
    search: str | None = None
    limit: int | None = None
    offset: int = 0


class PricingOverrideColumns(msgspec.Struct, frozen=True, kw_only=True):
    """What of an override is written; `pricing_patch` holds US dollars per unit."""

    name: str
    scope_kind: ScopeKind
    user_id: str | None = None
    virtual_key_id: str | None = None
    provider_id: str | None = None
    provider_key_id: str | None = None
    match_type: MatchType
    pattern: str
    request_types: Sequence[str] = ()
    pricing_patch: dict[str, float] = {}


async def list_pricing_override_ids(connection: Connection, query: PricingOverrideQuery) -> IdPage:
    """Oldest first."""
    narrowed = msgspec.structs.asdict(query)
    limit, offset = narrowed.pop("limit"), narrowed.pop("offset")
    rows = queries.list_pricing_override_ids(connection, page_limit=limit, page_offset=offset, **narrowed)
    page = [row async for row in rows]
    total_count = page[0]["total_count"] if page else await queries.count_pricing_overrides(connection, **narrowed)
    return IdPage([row["id"] for row in page], total_count)


async def load_pricing_overrides(connection: Connection, ids: Sequence[str]) -> list[Row]:
    return [row async for row in queries.list_shown_pricing_overrides(connection, pricing_override_ids=ids)]


async def lock_pricing_override(connection: Connection, override_id: str) -> PricingOverrideColumns | None:
    """What a change starts from; nobody else changes it until the transaction ends."""
    row = await queries.lock_pricing_override(connection, pricing_override_id=override_id)
    if row is None:
        return None
    return PricingOverrideColumns(**(dict(row) | {"pricing_patch": msgspec.json.decode(row["pricing_patch"])}))


async def insert_pricing_override(
    connection: Connection, override_id: str, override: PricingOverrideColumns, *, now: datetime
) -> None:
    await queries.insert_pricing_override(
        connection, pricing_override_id=override_id, created_at=now, **_encoded(override)
    )


async def update_pricing_override(connection: Connection, override_id: str, override: PricingOverrideColumns) -> None:
    await queries.update_pricing_override(connection, pricing_override_id=override_id, **_encoded(override))


async def delete_pricing_override(connection: Connection, override_id: str) -> None:
    await queries.delete_pricing_override(connection, pricing_override_id=override_id)


def _encoded(override: PricingOverrideColumns) -> Mapping[str, Any]:
    return msgspec.structs.asdict(override) | {"pricing_patch": msgspec.json.encode(override.pricing_patch)}
