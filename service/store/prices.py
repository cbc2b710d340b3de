"""Base prices of models."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from service.domain.pricing import ModelPrice, Prices
from service.store.postgres import Connection
from service.store.queries import queries

# Bounds one statement's arrays.
_ROWS_PER_WRITE = 5000


class PriceChanges(msgspec.Struct, frozen=True):
    """How many rows a write of prices touched, and left."""

    added: int
    changed: int
    unchanged: int


class PriceList(msgspec.Struct, frozen=True):
    prices: list[ModelPrice]
    total_count: int


async def upsert_model_prices(connection: Connection, prices: Sequence[ModelPrice]) -> PriceChanges:
    """Write prices, each (provider, model) once; those of other models stay. In a transaction of the caller."""
    in_order = sorted(prices, key=lambda price: (price.provider, price.model))
    written = [row["is_new"] for chunk in _chunks(in_order) async for row in _upsert(connection, chunk)]
    added = sum(written)
    return PriceChanges(added, len(written) - added, len(prices) - len(written))


async def list_model_prices(
    connection: Connection, *, provider: str | None = None, search: str | None = None, limit: int
) -> PriceList:
    """By provider and model; those whose model's name contains `search` (any case)."""
    rows = queries.list_model_prices(connection, provider=provider, search=search, page_limit=limit)
    page = [row async for row in rows]
    total_count = page[0]["total_count"] if page else 0
    return PriceList([_model_price(row) for row in page], total_count)


def _upsert(connection: Connection, prices: Sequence[ModelPrice]) -> AsyncIterator[Mapping[str, bool]]:
    columns = {name: [getattr(price.prices, name) for price in prices] for name in Prices.__struct_fields__}
    rows: AsyncIterator[Mapping[str, bool]] = queries.upsert_model_prices(
        connection,
        providers=[price.provider for price in prices],
        models=[price.model for price in prices],
        modes=[price.mode for price in prices],
        **columns,
    )
    return rows


def _model_price(row: Mapping[str, Any]) -> ModelPrice:
    prices = Prices(**{name: row[name] for name in Prices.__struct_fields__})
    return ModelPrice(provider=row["provider"], model=row["model"], mode=row["mode"], prices=prices)


def _chunks(prices: Sequence[ModelPrice]) -> Iterator[Sequence[ModelPrice]]:
    return (prices[start : start + _ROWS_PER_WRITE] for start in range(0, len(prices), _ROWS_PER_WRITE))
