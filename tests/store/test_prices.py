"""Base prices: written as often as wanted, and only what differs is a change."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from service.domain.pricing import ModelPrice, Prices
from service.store import prices as store
from service.store.postgres import Connection
from service.store.prices import PriceChanges, list_model_prices, upsert_model_prices


def price(model: str, *, provider: str = "openai", mode: str = "chat", **prices: int) -> ModelPrice:
    return ModelPrice(provider=provider, model=model, mode=mode, prices=Prices(**prices))


EVERY_PRICE: dict[str, Any] = {name: number for number, name in enumerate(Prices.__struct_fields__, start=1)}


async def test_what_is_written_is_read_back(connection: Connection) -> None:
    written = [price("b", **EVERY_PRICE), price("a", mode=""), price("c", provider="azure", output_nanousd=10**18)]
    assert await upsert_model_prices(connection, written) == PriceChanges(added=3, changed=0, unchanged=0)
    listed = await list_model_prices(connection, limit=10)
    assert listed.prices == [written[2], written[1], written[0]]
    assert listed.total_count == 3


async def test_a_second_write_changes_only_what_differs(connection: Connection) -> None:
    async def stamps() -> dict[str, datetime]:
        return {row["model"]: row["updated_at"] for row in await connection.fetch("SELECT * FROM model_prices")}

    await upsert_model_prices(connection, [price("a", input_nanousd=1), price("b", input_nanousd=1)])
    before = await stamps()
    again = [price("a", input_nanousd=1), price("b"), price("c")]
    assert await upsert_model_prices(connection, again) == PriceChanges(added=1, changed=1, unchanged=1)
    after = await stamps()
    assert (after["a"] == before["a"], after["b"] > before["b"]) == (True, True)
    assert await upsert_model_prices(connection, again) == PriceChanges(added=0, changed=0, unchanged=3)


@pytest.mark.parametrize("field", ["mode", *Prices.__struct_fields__])
async def test_a_change_of_any_column_is_one(connection: Connection, field: str) -> None:
    await upsert_model_prices(connection, [price("a", **EVERY_PRICE)])
    other: dict[str, Any] = EVERY_PRICE | {field: "embedding" if field == "mode" else 99}
    changed = price("a", **other)
    assert await upsert_model_prices(connection, [changed]) == PriceChanges(added=0, changed=1, unchanged=0)
    assert (await list_model_prices(connection, limit=1)).prices == [changed]


async def test_more_than_one_write_holds_is_written_in_several(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_ROWS_PER_WRITE", 2)
    written = [price(str(number)) for number in range(5)]
    assert await upsert_model_prices(connection, written) == PriceChanges(added=5, changed=0, unchanged=0)
    assert await upsert_model_prices(connection, []) == PriceChanges(added=0, changed=0, unchanged=0)


async def test_two_writes_at_once_wait_for_each_other(connection: Connection, other_connection: Connection) -> None:
    written = [price(str(number), input_nanousd=number) for number in range(200)]
    both = await asyncio.gather(
        upsert_model_prices(connection, written), upsert_model_prices(other_connection, written[::-1])
    )
    assert sorted(changes.added for changes in both) == [0, 200]


async def test_a_list_is_narrowed_and_bounded(connection: Connection) -> None:
    await upsert_model_prices(connection, [price("GPT-4o"), price("gpt-4.1"), price("gpt-4o", provider="azure")])
    found = await list_model_prices(connection, provider="openai", search="GPT-4O", limit=5)
    assert [one.model for one in found.prices] == ["GPT-4o"]
    found = await list_model_prices(connection, search="gpt", limit=2)
    assert (len(found.prices), found.total_count) == (2, 3)
    assert await list_model_prices(connection, provider="none", limit=5) == store.PriceList([], 0)
