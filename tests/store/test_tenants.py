"""The revision of a tenant: every change of its configuration makes a new one, and nothing else does."""

from datetime import UTC, datetime
from itertools import product

import pytest

from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.factories import Factory, meter_of_budget, usage_event
from tests.store.planted_tree import OWNER_COLUMNS, Bumps, plant_tree, revisions

A = "customer:a-customer"

# What is told of the past is not configuration.
HISTORY = {
    "alerts",
    "audit_log",
    "deleted_virtual_keys",
    "usage_daily",
    "usage_daily_by_owner",
    "usage_events",
    "usage_events_default",
    "usage_hourly",
}

# table: the tenant whose row is inserted, changed and deleted, and the three statements
CHANGES = {
    "customers": (
        "customer:new",
        "INSERT INTO customers (id, name) VALUES ('new', 'new')",
        "UPDATE customers SET max_parallel_requests = 3 WHERE id = 'new'",
        "DELETE FROM customers WHERE id = 'new'",
    ),
    "teams": (
        A,
        "INSERT INTO teams (id, name, customer_id) VALUES ('new', 'new', 'a-customer')",
        "UPDATE teams SET profile = '{}' WHERE id = 'new'",
        "DELETE FROM teams WHERE id = 'new'",
    ),
    "virtual_keys": (
        A,
        (
            "INSERT INTO virtual_keys (id, name, team_id, value_hash, value_sealed) "
            "VALUES ('new', 'new', 'a-team', sha256(''), '')"
        ),
        "UPDATE virtual_keys SET is_active = false WHERE id = 'new'",
        "DELETE FROM virtual_keys WHERE id = 'new'",
    ),
    "virtual_key_provider_configs": (
        A,
        "INSERT INTO virtual_key_provider_configs (virtual_key_id, provider) VALUES ('a-key', 'new')",
        "UPDATE virtual_key_provider_configs SET weight = 2 WHERE provider = 'new'",
        "DELETE FROM virtual_key_provider_configs WHERE provider = 'new'",
    ),
    "virtual_key_provider_config_keys": (
        A,
        (
            "INSERT INTO virtual_key_provider_config_keys (provider_config_id, provider_key_id) "
            "SELECT id, 'b-provider_keys' FROM virtual_key_provider_configs WHERE virtual_key_id = 'a-key'"
        ),
        (
            "UPDATE virtual_key_provider_config_keys SET provider_key_id = 'spare' "
            "WHERE provider_key_id = 'b-provider_keys' AND tenant_id = 'customer:a-customer'"
        ),
        "DELETE FROM virtual_key_provider_config_keys WHERE provider_key_id = 'spare'",
    ),
    "virtual_key_mcp_configs": (
        A,
        (
            "INSERT INTO virtual_key_mcp_configs (virtual_key_id, mcp_client_id) "
            "SELECT 'a-key', id FROM mcp_clients WHERE name = 'b-mcp_clients'"
        ),
        (
            "UPDATE virtual_key_mcp_configs SET tools_to_execute = '{*}' "
            "WHERE virtual_key_id = 'a-key' AND tools_to_execute = '{}'"
        ),
        "DELETE FROM virtual_key_mcp_configs WHERE virtual_key_id = 'a-key'",
    ),
    "model_configs": (
        A,
        "INSERT INTO model_configs (id, virtual_key_id, model_name) VALUES ('new', 'a-key', 'new')",
        "UPDATE model_configs SET provider = 'openai' WHERE id = 'new'",
        "DELETE FROM model_configs WHERE id = 'new'",
    ),
    "budgets": (
        A,
        "INSERT INTO budgets (id, team_id, max_limit_nanousd, reset_duration) VALUES ('new', 'a-team', 1, '1d')",
        "UPDATE budgets SET max_limit_nanousd = 2 WHERE id = 'new'",
        "DELETE FROM budgets WHERE id = 'new'",
    ),
    "rate_limits": (
        A,
        (
            "INSERT INTO rate_limits (id, model_config_id, token_max_limit, token_reset_duration) "
            "VALUES ('new', 'a-model_configs', 1, '1d')"
        ),
        "UPDATE rate_limits SET shadow = true WHERE id = 'new'",
        "DELETE FROM rate_limits WHERE id = 'new'",
    ),
}


@pytest.fixture
async def bumps(connection: Connection, make: Factory) -> Bumps:
    """Watches a database with two trees, `a` and `b`."""
    for label in ("a", "b"):
        await plant_tree(make, label)
    await make.provider_key(id="spare")
    bumps = Bumps(connection)
    await bumps.since_last()
    return bumps


@pytest.mark.parametrize("table", CHANGES)
async def test_a_row_that_comes_changes_or_goes_bumps_its_tenant_alone(
    connection: Connection, bumps: Bumps, table: str
) -> None:
    tenant_id, *statements = CHANGES[table]
    for statement in statements:
        status = await connection.execute(statement)
        assert not status.endswith(" 0")
        assert await bumps.since_last() == {tenant_id}


async def test_every_table_of_the_configuration_is_watched(connection: Connection) -> None:
    tables = await connection.fetch("""
        SELECT table_name
          FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
         WHERE table_schema = 'public' AND column_name = 'tenant_id' AND table_type = 'BASE TABLE'
    """)
    assert {row["table_name"] for row in tables} - HISTORY == set(CHANGES)


async def test_a_limit_of_any_owner_bumps_the_owner_s_tenant(connection: Connection, bumps: Bumps) -> None:
    for table, column in product(("budgets", "rate_limits"), OWNER_COLUMNS):
        await connection.execute(f"UPDATE {table} SET shadow = true WHERE id = $1", f"a-{table}-{column}")
        assert await bumps.since_last() == {A}, (table, column)


async def test_limits_of_the_whole_deployment_bump_the_global_tenant(
    connection: Connection, make: Factory, bumps: Bumps
) -> None:
    await make.model_config(id="of-all")
    assert await bumps.since_last() == {"global"}
    await make.budget(model_config_id="of-all")
    assert await bumps.since_last() == {"global"}


async def test_one_statement_bumps_every_tenant_it_touched(connection: Connection, make: Factory, bumps: Bumps) -> None:
    await make.customer(id="without-keys")
    await make.virtual_key(id="alone")
    await bumps.since_last()
    await connection.execute("UPDATE virtual_keys SET is_active = false")
    assert await bumps.since_last() == {A, "customer:b-customer", "virtual_key:alone"}


async def test_a_statement_that_touches_no_row_bumps_no_tenant(connection: Connection, bumps: Bumps) -> None:
    for table in CHANGES:
        await connection.execute(f"DELETE FROM {table} WHERE false")
    assert await bumps.since_last() == set()


async def test_an_emptied_table_bumps_every_tenant(connection: Connection, bumps: Bumps) -> None:
    every_tenant = set(await revisions(connection))
    for table in CHANGES.keys() - {"customers", "teams", "virtual_keys"}:
        await connection.execute(f"TRUNCATE {table} CASCADE")
        assert await bumps.since_last() == every_tenant, table


async def test_a_limit_given_to_another_owner_bumps_both_tenants(connection: Connection, bumps: Bumps) -> None:
    await connection.execute("UPDATE budgets SET team_id = 'b-team' WHERE id = 'a-budgets-team_id'")
    assert await bumps.since_last() == {A, "customer:b-customer"}


async def test_usage_bumps_no_tenant(connection: Connection, bumps: Bumps) -> None:
    now = datetime.now(UTC)
    tenant_id, meter = await meter_of_budget(connection, "a-budgets-team_id")
    await record_usage(connection, [usage_event("r1", (tenant_id, meter, 5), at=now)])
    assert await bumps.since_last() == set()


async def test_a_changed_provider_key_bumps_the_tenants_that_use_it_alone(connection: Connection, bumps: Bumps) -> None:
    await connection.execute("UPDATE provider_keys SET weight = 2 WHERE id = 'a-provider_keys'")
    assert await bumps.since_last() == {A}
    await connection.execute("UPDATE provider_keys SET weight = 2 WHERE id = 'spare'")
    assert await bumps.since_last() == set()
    await connection.execute("UPDATE provider_keys SET weight = 3")
    assert await bumps.since_last() == {A, "customer:b-customer"}


async def test_a_deleted_provider_key_bumps_the_tenants_that_used_it_alone(
    connection: Connection, bumps: Bumps
) -> None:
    await connection.execute("DELETE FROM provider_keys WHERE id = 'a-provider_keys'")
    assert await bumps.since_last() == {A}
    await connection.execute("DELETE FROM provider_keys WHERE id = 'spare'")
    assert await bumps.since_last() == set()


async def test_a_changed_or_deleted_mcp_client_bumps_the_tenants_that_use_it_alone(
    connection: Connection, make: Factory, bumps: Bumps
) -> None:
    await make.mcp_client(name="spare")
    await connection.execute("UPDATE mcp_clients SET tools_to_execute = '{search}' WHERE name = 'spare'")
    assert await bumps.since_last() == set()
    await connection.execute("UPDATE mcp_clients SET name = 'renamed' WHERE name = 'a-mcp_clients'")
    assert await bumps.since_last() == {A}
    await connection.execute("DELETE FROM mcp_clients WHERE name = 'renamed'")
    assert await bumps.since_last() == {A}


async def test_a_revision_never_comes_back_even_for_a_tenant_made_again(connection: Connection, make: Factory) -> None:
    seen: list[int] = []
    for _ in range(3):
        await make.customer(id="c", name="c")
        seen.append((await revisions(connection))["customer:c"])
        await connection.execute("UPDATE customers SET calendar_aligned = NOT calendar_aligned")
        seen.append((await revisions(connection))["customer:c"])
        await connection.execute("DELETE FROM customers")
    assert len(set(seen)) == len(seen)
    assert seen == sorted(seen)


async def test_a_change_that_is_rolled_back_bumps_no_tenant(connection: Connection, bumps: Bumps) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("UPDATE teams SET config = '{}'")
    await transaction.rollback()
    assert await bumps.since_last() == set()
