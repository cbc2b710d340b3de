"""What is written, how often, and beside what."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.demo.shape import DemoShape
from service.demo.write import DemoAlreadyThereError, write_demo_tree
from service.domain.sealing import Sealer
from service.store.postgres import Connection
from tests.demo.trees import DEFAULT, NOW, count_rows, predictable_content, whole_content, write
from tests.factories import Factory


@asynccontextmanager
async def rolled_back(connection: Connection) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    yield
    await transaction.rollback()


@pytest.mark.parametrize("shape", [DEFAULT, DemoShape(1, 1, 1), DemoShape(5, 3, 4), DemoShape(1, 3, 800)])
async def test_the_tree_is_as_large_as_asked(connection: Connection, sealer: Sealer, shape: DemoShape) -> None:
    summary = await write(connection, sealer, shape)
    counted = {table: await count_rows(connection, table) for table in summary.rows}
    assert summary.rows == counted
    assert counted["customers"] == shape.customers
    assert counted["teams"] == shape.customers * shape.teams
    assert counted["virtual_keys"] == shape.customers * shape.teams * shape.keys
    keys_by_tenant = await connection.fetch("SELECT count(*) FROM virtual_keys GROUP BY tenant_id")
    assert [row["count"] for row in keys_by_tenant] == [shape.teams * shape.keys] * shape.customers
    assert summary.usage_events == await count_rows(connection, "usage_events")


async def test_one_in_eight_virtual_keys_hangs_on_the_customer_itself(connection: Connection, sealer: Sealer) -> None:
    await write(connection, sealer, DemoShape(2, 8, 8))
    assert await count_rows(connection, "virtual_keys", "customer_id IS NOT NULL") == 2 * 8
    assert await count_rows(connection, "virtual_keys", "team_id IS NOT NULL") == 2 * 8 * 7


async def test_the_same_shape_seed_and_time_make_the_same_rows(connection: Connection, sealer: Sealer) -> None:
    contents = []
    for _ in range(2):
        async with rolled_back(connection):
            await write(connection, sealer)
            contents.append(await predictable_content(connection))
    assert contents[0] == contents[1]


async def test_another_seed_makes_another_tree_that_fits_beside(connection: Connection, sealer: Sealer) -> None:
    await write(connection, sealer)
    await write(connection, sealer, DemoShape(seed=2))
    assert await count_rows(connection, "customers") == 2 * DEFAULT.customers
    distinct = await connection.fetchval("SELECT count(DISTINCT value_hash) FROM virtual_keys")
    assert distinct == 2 * DEFAULT.virtual_keys


@pytest.mark.parametrize("shape", [DEFAULT, DemoShape(1, 5, 2)])
async def test_a_second_run_of_a_seed_is_refused_and_changes_nothing(
    connection: Connection, sealer: Sealer, shape: DemoShape
) -> None:
    await write(connection, sealer)
    before = await whole_content(connection)
    with pytest.raises(DemoAlreadyThereError, match="seed 1"):
        await write(connection, sealer, shape)
    assert await whole_content(connection) == before


async def test_a_name_that_is_taken_leaves_nothing_of_the_tree(
    connection: Connection, sealer: Sealer, make: Factory
) -> None:
    async with rolled_back(connection):
        await write(connection, sealer)
        last = await connection.fetchval("SELECT name FROM customers ORDER BY created_at DESC LIMIT 1")
    await make.customer(name=last)
    before = await whole_content(connection)
    with pytest.raises(DemoAlreadyThereError):
        await write(connection, sealer)
    assert await whole_content(connection) == before


async def test_rows_of_others_stay_and_numbering_goes_on(connection: Connection, sealer: Sealer, make: Factory) -> None:
    owner = await make.virtual_key(name="unrelated")
    config, client = await make.provider_config(virtual_key_id=owner), await make.mcp_client()
    await make.mcp_config(virtual_key_id=owner, mcp_client_id=client)
    summary = await write(connection, sealer)
    later = await make.provider_config(virtual_key_id=owner, provider="azure")
    await make.mcp_client()
    assert later == config + summary.rows["virtual_key_provider_configs"] + 1
    assert await count_rows(connection, "virtual_key_provider_configs", "virtual_key_id = $1", owner) == 2
    assert await count_rows(connection, "mcp_clients") == summary.rows["mcp_clients"] + 2


async def test_progress_reaches_the_end_of_each_table(connection: Connection, sealer: Sealer) -> None:
    told: dict[str, list[tuple[int, int]]] = {}

    def progress(table: str, done: int, total: int) -> None:
        told.setdefault(table, []).append((done, total))

    shape = DemoShape(2, 10, 150)
    summary = await write_demo_tree(connection, shape=shape, sealer=sealer, now=NOW, progress=progress)
    expected = {table: summary.rows[table] for table in ("customers", "teams", "virtual_keys")}
    assert {table: steps[-1] for table, steps in told.items()} == {
        table: (total, total) for table, total in (expected | {"usage_events": summary.usage_events}).items()
    }
    assert len(told["virtual_keys"]) > 1
    assert all(steps == sorted(steps) for steps in told.values())
