"""Moves: when a team or a virtual key gets another owner, everything below it goes to that owner's tenant."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from service.store.postgres import Connection
from tests.factories import Factory
from tests.store.planted_tree import (
    Bumps,
    assert_every_row_is_in_its_tenant,
    plant_tree,
    revisions,
    tenants_by_table,
)

A, B = "customer:a-customer", "customer:b-customer"
ALL_TABLES = {
    *("teams", "virtual_keys", "virtual_key_provider_configs", "virtual_key_provider_config_keys"),
    *("virtual_key_mcp_configs", "model_configs", "budgets", "rate_limits"),
}

Run = Callable[[str], Awaitable[set[str]]]


@pytest.fixture
async def planted(connection: Connection, make: Factory) -> Bumps:
    """Customer `a` with a full tree, customer `b` with nothing, customer `c` to be left alone."""
    await plant_tree(make, "a")
    await make.customer(id="b-customer")
    await make.customer(id="c-customer")
    # What belongs to the customer itself stays; without it every row left is one that has to follow.
    await connection.execute("DELETE FROM budgets WHERE customer_id IS NOT NULL")
    await connection.execute("DELETE FROM rate_limits WHERE customer_id IS NOT NULL")
    bumps = Bumps(connection)
    await bumps.since_last()
    return bumps


@pytest.fixture
def move(connection: Connection, planted: Bumps) -> Run:
    """Runs a statement; answers the tenants it changed, after a look at every row."""

    async def run(statement: str) -> set[str]:
        await connection.execute(statement)
        await assert_every_row_is_in_its_tenant(connection)
        return await planted.since_last()

    return run


def all_in(tenant_id: str, *, without: str = "") -> dict[str, set[str]]:
    return {table: {tenant_id} for table in ALL_TABLES - {without}}


async def below_customers(connection: Connection, *, without: str = "") -> dict[str, set[str]]:
    found = await tenants_by_table(connection)
    return {table: tenants for table, tenants in found.items() if table not in ("customers", without)}


async def test_a_team_takes_everything_below_it_to_another_customer(connection: Connection, move: Run) -> None:
    assert await move("UPDATE teams SET customer_id = 'b-customer' WHERE id = 'a-team'") == {A, B}
    assert await below_customers(connection) == all_in(B)


async def test_a_team_that_leaves_its_customer_becomes_a_tenant_and_back(connection: Connection, move: Run) -> None:
    assert await move("UPDATE teams SET customer_id = NULL WHERE id = 'a-team'") == {A, "team:a-team"}
    assert await below_customers(connection) == all_in("team:a-team")
    assert await move("UPDATE teams SET customer_id = 'a-customer' WHERE id = 'a-team'") == {A, "team:a-team"}
    assert await below_customers(connection) == all_in(A)
    assert "team:a-team" not in await revisions(connection)


async def test_a_virtual_key_takes_everything_below_it_to_each_kind_of_owner(connection: Connection, move: Run) -> None:
    await move("DELETE FROM budgets WHERE team_id IS NOT NULL")
    await move("DELETE FROM rate_limits WHERE team_id IS NOT NULL")
    key, alone = "UPDATE virtual_keys SET", "virtual_key:a-key"
    assert await move(f"{key} team_id = NULL, customer_id = 'b-customer' WHERE id = 'a-key'") == {A, B}
    assert await below_customers(connection, without="teams") == all_in(B, without="teams")
    assert await move(f"{key} customer_id = NULL WHERE id = 'a-key'") == {B, alone}
    assert await below_customers(connection, without="teams") == all_in(alone, without="teams")
    assert await move(f"{key} team_id = 'a-team' WHERE id = 'a-key'") == {A, alone}
    assert await below_customers(connection) == all_in(A)
    assert alone not in await revisions(connection)


async def test_what_belongs_to_the_customer_itself_stays(connection: Connection, make: Factory, move: Run) -> None:
    await make.budget(id="of-a", customer_id="a-customer")
    await make.virtual_key(id="key-of-a", customer_id="a-customer")
    await move("UPDATE teams SET customer_id = 'b-customer' WHERE id = 'a-team'")
    assert await connection.fetchval("SELECT tenant_id FROM budgets WHERE id = 'of-a'") == A
    assert await connection.fetchval("SELECT tenant_id FROM virtual_keys WHERE id = 'key-of-a'") == A


async def test_one_statement_may_move_many_teams(
    connection: Connection, make: Factory, move: Run, planted: Bumps
) -> None:
    for number in range(3):
        await make.team(id=f"team-{number}")
        await make.virtual_key(id=f"key-{number}", team_id=f"team-{number}")
    await planted.since_last()
    teams = {f"team:team-{number}" for number in range(3)}
    assert await move("UPDATE teams SET customer_id = 'b-customer'") == {A, B} | teams
    assert await below_customers(connection) == all_in(B)
    assert await move("UPDATE teams SET customer_id = NULL WHERE id <> 'a-team'") == {B} | teams


async def test_a_provider_config_given_to_another_key_takes_its_limits_and_pins_along(
    connection: Connection, make: Factory, move: Run, planted: Bumps
) -> None:
    await make.virtual_key(id="b-key", customer_id="b-customer")
    await planted.since_last()
    assert await move("UPDATE virtual_key_provider_configs SET virtual_key_id = 'b-key'") == {A, B}
    assert await move("UPDATE model_configs SET virtual_key_id = 'b-key'") == {A, B}
    found = await tenants_by_table(connection)
    assert found["virtual_key_provider_config_keys"] == found["model_configs"] == {B}


async def test_a_deleted_customer_s_teams_and_keys_become_tenants(
    connection: Connection, make: Factory, move: Run, planted: Bumps
) -> None:
    await make.budget(customer_id="a-customer")
    await make.virtual_key(id="key-of-a", customer_id="a-customer")
    await planted.since_last()
    changed = await move("DELETE FROM customers WHERE id = 'a-customer'")
    assert changed == {A, "team:a-team", "virtual_key:key-of-a"}
    assert (await below_customers(connection))["virtual_keys"] == {"team:a-team", "virtual_key:key-of-a"}
    assert (await tenants_by_table(connection))["budgets"] == {"team:a-team"}


@pytest.mark.parametrize("customer", ["'a-customer'", "NULL"])
async def test_a_deleted_team_s_keys_become_tenants(connection: Connection, move: Run, customer: str) -> None:
    await move(f"UPDATE teams SET customer_id = {customer}")
    changed = await move("DELETE FROM teams WHERE id = 'a-team'")
    assert changed == {A if customer != "NULL" else "team:a-team", "virtual_key:a-key"}
    assert (await tenants_by_table(connection))["rate_limits"] == {"virtual_key:a-key"}


@pytest.mark.parametrize("owner", ["team_id = 'a-team'", "team_id = NULL"])
async def test_a_deleted_virtual_key_leaves_nothing_behind(connection: Connection, move: Run, owner: str) -> None:
    await move(f"UPDATE virtual_keys SET {owner}")
    await move("DELETE FROM budgets WHERE team_id IS NOT NULL")
    await move("DELETE FROM rate_limits WHERE team_id IS NOT NULL")
    assert await move("DELETE FROM virtual_keys") == {"virtual_key:a-key" if "NULL" in owner else A}
    assert (await below_customers(connection)).keys() == {"teams"}


async def test_everything_can_be_deleted_at_once(connection: Connection, planted: Bumps) -> None:
    async with connection.transaction():
        for table in ("customers", "teams", "virtual_keys"):
            await connection.execute(f"DELETE FROM {table}")
    await assert_every_row_is_in_its_tenant(connection)
    assert (await revisions(connection)).keys() == {"global"}
    assert await tenants_by_table(connection) == {}


@pytest.mark.parametrize("table", sorted(ALL_TABLES))
async def test_a_tenant_set_by_hand_is_overruled(connection: Connection, move: Run, table: str) -> None:
    assert await move(f"UPDATE {table} SET tenant_id = '{B}'") == {A}
    assert (await tenants_by_table(connection))[table] == {A}


async def test_a_customer_s_tenant_cannot_be_set_by_hand(connection: Connection, planted: Bumps) -> None:
    with pytest.raises(asyncpg.GeneratedAlwaysError):
        await connection.execute(f"UPDATE customers SET tenant_id = '{B}'")


async def test_an_owner_that_is_not_there_is_refused(connection: Connection, make: Factory) -> None:
    for owner in ("team_id", "customer_id"):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await make.virtual_key(**{owner: "nobody"})
    for owner in ("team_id", "customer_id", "virtual_key_id", "model_config_id"):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await make.budget(**{owner: "nobody"})
    assert (await revisions(connection)).keys() == {"global"}
