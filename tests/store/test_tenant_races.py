"""Two writers at once: whoever is first, each row ends in the tenant of its owner, and no change goes unseen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import asyncpg
import pytest

from service.domain.sealing import Sealer
from service.store.postgres import Connection, connect
from tests.factories import Factory
from tests.store.planted_tree import TenantState, assert_every_row_is_in_its_tenant, contents, plant_tree, revisions
from tests.store.racing import open_beside
from tests.waiting import until

WAITING = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0
"""

MOVE_TEAM = "UPDATE teams SET customer_id = 'b-customer' WHERE id = 'a-team'"
MOVE_KEY = "UPDATE virtual_keys SET team_id = NULL, customer_id = 'b-customer' WHERE id = 'a-key'"
MOVE_CONFIG = "UPDATE virtual_key_provider_configs SET virtual_key_id = 'b-key' WHERE virtual_key_id = 'a-key'"
MOVE_MODEL_CONFIG = "UPDATE model_configs SET virtual_key_id = 'b-key' WHERE id = 'a-model_configs'"

Owners = dict[str, str | int]
Add = Callable[[Factory, Owners], Awaitable[object]]

ADDITIONS: dict[str, Add] = {
    "provider config": lambda make, _: make.provider_config(virtual_key_id="a-key", provider="late"),
    "pin": lambda make, owners: make.pin(int(owners["provider_config_id"]), "unused"),
    "mcp config": lambda make, _: make.mcp_config(virtual_key_id="a-key", mcp_client_id=1000),
    "model config": lambda make, _: make.model_config(id="late", virtual_key_id="a-key", model_name="late"),
    "budget of key": lambda make, _: make.budget(id="late", virtual_key_id="a-key"),
    "budget of provider config": lambda make, owners: make.budget(
        id="late", provider_config_id=owners["provider_config_id"]
    ),
    "rate limit of model config": lambda make, _: make.rate_limit(id="late", model_config_id="a-model_configs"),
}
ADDITIONS_TO_TEAM: dict[str, Add] = {
    "virtual key": lambda make, _: make.virtual_key(id="late", name="late", team_id="a-team"),
    "budget of team": lambda make, _: make.budget(id="late", team_id="a-team"),
}
MOVES = [
    *(pytest.param(add, MOVE_TEAM, id=f"{name}, team moves") for name, add in ADDITIONS_TO_TEAM.items()),
    *(pytest.param(add, MOVE_KEY, id=f"{name}, key moves") for name, add in ADDITIONS.items()),
    *(pytest.param(ADDITIONS[name], MOVE_TEAM, id=f"{name}, team moves") for name in ("pin", "budget of key")),
    pytest.param(ADDITIONS["budget of provider config"], MOVE_CONFIG, id="budget of provider config, which moves"),
    pytest.param(
        ADDITIONS["rate limit of model config"], MOVE_MODEL_CONFIG, id="rate limit of model config, which moves"
    ),
]


@pytest.fixture
async def owners(make: Factory) -> Owners:
    owners = await plant_tree(make, "a")
    await make.virtual_key(id="b-key", customer_id=await make.customer(id="b-customer"))
    await make.budget(id="second", virtual_key_id=await make.virtual_key(team_id="a-team"))
    await make.provider_key(id="unused")
    await make.mcp_client(id=1000, name="unused")
    return owners


@pytest.fixture
async def reader(database_url: str) -> AsyncIterator[Connection]:
    connection = await connect(database_url)
    yield connection
    await connection.close()


def assert_no_change_went_unseen(before: dict[str, TenantState], after: dict[str, TenantState]) -> None:
    """Who built something at a revision may use it for as long as the revision stands."""
    for tenant_id in before.keys() & after.keys():
        if before[tenant_id].revision == after[tenant_id].revision:
            assert before[tenant_id].content == after[tenant_id].content, tenant_id


@pytest.mark.parametrize(("add", "move"), MOVES)
async def test_a_row_added_while_its_owner_is_moved_goes_along(
    connection: Connection, make_on_other: Factory, owners: Owners, add: Add, move: str
) -> None:
    async with open_beside(connection, lambda: add(make_on_other, owners)):
        await connection.execute(move)
    await assert_every_row_is_in_its_tenant(connection)


@pytest.mark.parametrize(("add", "move"), MOVES)
async def test_an_owner_moved_while_a_row_is_added_takes_it_along(
    connection: Connection, other_connection: Connection, make: Factory, owners: Owners, add: Add, move: str
) -> None:
    async with open_beside(connection, lambda: other_connection.execute(move)):
        await add(make, owners)
    await assert_every_row_is_in_its_tenant(connection)


# What takes a provider key or MCP client into use, and a change of it.
CATALOGUE = {
    "provider key": (ADDITIONS["pin"], "UPDATE provider_keys SET weight = 7 WHERE id = 'unused'"),
    "mcp client": (ADDITIONS["mcp config"], "UPDATE mcp_clients SET allow_by_default = true WHERE id = 1000"),
}


@pytest.mark.parametrize("entry", CATALOGUE)
async def test_a_provider_key_or_mcp_client_that_changes_while_it_is_taken_into_use_is_seen(
    connection: Connection, make_on_other: Factory, owners: Owners, reader: Connection, entry: str
) -> None:
    use, change = CATALOGUE[entry]
    async with open_beside(connection, lambda: use(make_on_other, owners)) as begin:
        await connection.execute(change)
        await begin()
        before = await contents(reader)
    assert_no_change_went_unseen(before, await contents(reader))


@pytest.mark.parametrize("entry", CATALOGUE)
async def test_a_provider_key_or_mcp_client_taken_into_use_while_it_changes_is_seen(
    connection: Connection, other_connection: Connection, make: Factory, owners: Owners, reader: Connection, entry: str
) -> None:
    use, change = CATALOGUE[entry]
    before = await contents(reader)
    async with open_beside(connection, lambda: other_connection.execute(change)):
        await use(make, owners)
    assert_no_change_went_unseen(before, await contents(reader))


ALIGN_TEAM = "UPDATE teams SET calendar_aligned = true WHERE id = 'a-team'"
ALIGN_KEY = "UPDATE virtual_keys SET calendar_aligned = true WHERE id = 'a-key'"
DELETE_KEY = "DELETE FROM virtual_keys WHERE id = 'a-key'"
DELETE_CUSTOMER = "DELETE FROM customers WHERE id = 'a-customer'"


@pytest.mark.parametrize(
    ("table", "row", "change"),
    [
        pytest.param("virtual_keys", "a-key", MOVE_TEAM, id="key, team moves"),
        pytest.param("budgets", "a-budgets-team_id", MOVE_TEAM, id="budget, team moves"),
        pytest.param("budgets", "second", MOVE_TEAM, id="budget of another key, team moves"),
        pytest.param("rate_limits", "a-rate_limits-virtual_key_id", MOVE_KEY, id="rate limit, key moves"),
        pytest.param("model_configs", "a-model_configs", MOVE_KEY, id="model config, key moves"),
        pytest.param("rate_limits", "a-rate_limits-team_id", ALIGN_TEAM, id="rate limit, team is aligned"),
        pytest.param("rate_limits", "a-rate_limits-virtual_key_id", ALIGN_KEY, id="rate limit, key is aligned"),
        pytest.param(
            "budgets", "a-budgets-provider_config_id", ALIGN_KEY, id="provider config's budget, key is aligned"
        ),
        pytest.param("rate_limits", "a-rate_limits-virtual_key_id", DELETE_KEY, id="rate limit, key is deleted"),
        pytest.param("budgets", "a-budgets-customer_id", DELETE_CUSTOMER, id="budget, customer is deleted"),
    ],
)
async def test_a_row_may_be_edited_while_its_owner_changes(
    connection: Connection, other_connection: Connection, owners: Owners, table: str, row: str, change: str
) -> None:
    async with open_beside(connection, lambda: other_connection.execute(change)) as begin:
        # What an UPDATE does first, made to last: it locks the row before its triggers run.
        await connection.execute(f"SELECT FROM {table} WHERE id = $1 FOR NO KEY UPDATE", row)
        await begin()
        await connection.execute(f"UPDATE {table} SET config_hash = 'edited' WHERE id = $1", row)
    await assert_every_row_is_in_its_tenant(connection)


async def test_a_limit_may_be_added_to_a_key_that_waits_to_move(
    connection: Connection, other_connection: Connection, reader: Connection, sealer: Sealer, owners: Owners
) -> None:
    await connection.execute("INSERT INTO teams (id, name) VALUES ('b-team', 'b-team')")
    move = "UPDATE virtual_keys SET team_id = 'b-team' WHERE id = 'a-key'"
    add = partial(Factory(reader, sealer).budget, provider_config_id=owners["provider_config_id"])

    async def both_wait() -> bool:
        return int(await connection.fetchval(WAITING)) == 2

    async with open_beside(connection, lambda: other_connection.execute(move)) as begin:
        await connection.execute("UPDATE teams SET config_hash = 'edited' WHERE id = 'b-team'")
        await begin()
        addition = asyncio.ensure_future(add())
        await until(both_wait)
    await addition
    await assert_every_row_is_in_its_tenant(connection)


@pytest.mark.parametrize("owner", ["team", "customer"])
async def test_a_row_added_while_its_owner_is_deleted_is_refused(
    connection: Connection, make_on_other: Factory, make: Factory, owner: str
) -> None:
    owner_id = await (make.team if owner == "team" else make.customer)(id="owner")
    late: dict[str, str] = {"id": "late", "name": "late", f"{owner}_id": owner_id}
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        async with open_beside(connection, lambda: make_on_other.virtual_key(**late)):
            await connection.execute(f"DELETE FROM {owner}s WHERE id = 'owner'")
    await assert_every_row_is_in_its_tenant(connection)


async def test_two_teams_that_change_places_do_not_block_each_other_for_good(
    connection: Connection, other_connection: Connection, make: Factory
) -> None:
    for label in ("a", "b"):
        await plant_tree(make, label)
    move = "UPDATE teams SET customer_id = '{to}-customer' WHERE id = '{label}-team'".format
    async with open_beside(connection, lambda: other_connection.execute(move(label="b", to="a"))):
        await connection.execute(move(label="a", to="b"))
    await assert_every_row_is_in_its_tenant(connection)


async def test_changes_of_one_tenant_at_once_each_make_a_revision(
    connection: Connection, other_connection: Connection, owners: Owners
) -> None:
    edit = "UPDATE {} SET config_hash = 'edited'".format
    async with open_beside(connection, lambda: other_connection.execute(edit("customers"))):
        await connection.execute(edit("teams"))
        first = (await revisions(connection))["customer:a-customer"]
    assert (await revisions(connection))["customer:a-customer"] > first
