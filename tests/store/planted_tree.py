"""A tree with one row in every table of the configuration, to move about and to change."""

import msgspec

from service.store.postgres import Connection
from tests.factories import Factory

OWNER_COLUMNS = ("customer_id", "team_id", "virtual_key_id", "provider_config_id", "model_config_id")


async def plant_tree(make: Factory, label: str) -> dict[str, str | int]:
    """A customer > team > virtual key with all a virtual key can have, and a budget and rate limit of each owner.

    Answers the id of each owner by the column that names it. Other ids are `<label>-<table>`; a limit's have its
    owner's column besides: `a-budgets-team_id`.
    """
    customer = await make.customer(id=f"{label}-customer")
    team = await make.team(id=f"{label}-team", customer_id=customer)
    virtual_key = await make.virtual_key(id=f"{label}-key", team_id=team)
    provider_config = await make.provider_config(virtual_key_id=virtual_key)
    owners: dict[str, str | int] = {
        "customer_id": customer,
        "team_id": team,
        "virtual_key_id": virtual_key,
        "provider_config_id": provider_config,
        "model_config_id": await make.model_config(id=f"{label}-model_configs", virtual_key_id=virtual_key),
    }
    provider_key = await make.provider_key(id=f"{label}-provider_keys")
    await make.pin(provider_config, provider_key)
    await make.mcp_config(virtual_key_id=virtual_key, mcp_client_id=await make.mcp_client(name=f"{label}-mcp_clients"))
    for column, owner in owners.items():
        await make.budget(id=f"{label}-budgets-{column}", **{column: owner})
        await make.rate_limit(id=f"{label}-rate_limits-{column}", **{column: owner})
    return owners


async def revisions(connection: Connection) -> dict[str, int]:
    return {row["id"]: row["revision"] for row in await connection.fetch("SELECT id, revision FROM tenants")}


class TenantState(msgspec.Struct, frozen=True):
    """What a reader sees of a tenant; `content` stands for all its rows."""

    revision: int
    content: str


async def contents(connection: Connection) -> dict[str, TenantState]:
    """Every tenant in one snapshot."""
    return {row["id"]: TenantState(row["revision"], row["content"]) for row in await connection.fetch(_CONTENTS)}


class Bumps:
    """Answers which tenants changed since it was asked the last time: got another revision, came, or went."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._last: dict[str, int] = {}

    async def since_last(self) -> set[str]:
        before, self._last = self._last, await revisions(self._connection)
        return {tenant for tenant, _ in before.items() ^ self._last.items()}


async def tenants_by_table(connection: Connection) -> dict[str, set[str]]:
    """Which tenants the rows of each table stand in; tables without rows are left out."""
    found: dict[str, set[str]] = {}
    for row in await connection.fetch(f"SELECT DISTINCT table_name, tenant_id FROM ({_PLACED}) AS placed"):
        found.setdefault(row["table_name"], set()).add(row["tenant_id"])
    return found


async def assert_every_row_is_in_its_tenant(connection: Connection) -> None:
    """Derives each row's tenant anew from its owners, and the tenants from their roots."""
    misplaced = await connection.fetch(
        f"SELECT * FROM ({_PLACED}) AS placed WHERE tenant_id IS DISTINCT FROM expected_tenant_id"
    )
    assert [tuple(row) for row in misplaced] == []
    roots = {row["id"] for row in await connection.fetch(_ROOTS)}
    assert set(await revisions(connection)) == roots


# All that is shown or decided from. A provider key or MCP client is part of every tenant that uses it.
_CONTENTS = """
    WITH rows AS (
        SELECT tenant_id, to_jsonb(customers)::text AS content FROM customers
        UNION ALL SELECT tenant_id, to_jsonb(teams)::text FROM teams
        UNION ALL SELECT tenant_id, to_jsonb(virtual_keys)::text FROM virtual_keys
        UNION ALL SELECT tenant_id, to_jsonb(configs)::text FROM virtual_key_provider_configs AS configs
        UNION ALL SELECT tenant_id, to_jsonb(pins)::text || to_jsonb(keys)::text
          FROM virtual_key_provider_config_keys AS pins JOIN provider_keys AS keys ON keys.id = provider_key_id
        UNION ALL SELECT tenant_id, to_jsonb(configs)::text || to_jsonb(clients)::text
          FROM virtual_key_mcp_configs AS configs JOIN mcp_clients AS clients ON clients.id = mcp_client_id
        UNION ALL SELECT tenant_id, to_jsonb(model_configs)::text FROM model_configs
        UNION ALL SELECT tenant_id, to_jsonb(budgets)::text FROM budgets
        UNION ALL SELECT tenant_id, to_jsonb(rate_limits)::text FROM rate_limits
    )
    SELECT tenants.id, revision, coalesce(md5(string_agg(content, ' ' ORDER BY content)), '') AS content
      FROM tenants LEFT JOIN rows ON rows.tenant_id = tenants.id
     GROUP BY tenants.id, revision
"""

_ROOTS = """
    SELECT 'global' AS id
    UNION ALL SELECT 'customer:' || id FROM customers
    UNION ALL SELECT 'team:' || id FROM teams WHERE customer_id IS NULL
    UNION ALL SELECT 'virtual_key:' || id FROM virtual_keys WHERE num_nonnulls(team_id, customer_id) = 0
"""

_PLACED = """
    WITH expected_of_team AS (
        SELECT id, coalesce('customer:' || customer_id, 'team:' || id) AS expected FROM teams
    ), expected_of_key AS (
        SELECT keys.id, coalesce(expected_of_team.expected, 'customer:' || keys.customer_id, 'virtual_key:' || keys.id)
               AS expected
          FROM virtual_keys AS keys LEFT JOIN expected_of_team ON expected_of_team.id = keys.team_id
    ), expected_of_provider_config AS (
        SELECT configs.id, expected FROM virtual_key_provider_configs AS configs
          JOIN expected_of_key ON expected_of_key.id = configs.virtual_key_id
    ), expected_of_model_config AS (
        SELECT configs.id, coalesce(expected, 'global') AS expected FROM model_configs AS configs
          LEFT JOIN expected_of_key ON expected_of_key.id = configs.virtual_key_id
    ), limits AS (
        SELECT 'budgets' AS table_name, id, tenant_id,
               customer_id, team_id, virtual_key_id, provider_config_id, model_config_id FROM budgets
        UNION ALL
        SELECT 'rate_limits', id, tenant_id,
               customer_id, team_id, virtual_key_id, provider_config_id, model_config_id FROM rate_limits
    )
    SELECT 'customers' AS table_name, id::text AS id, tenant_id, 'customer:' || id AS expected_tenant_id FROM customers
    UNION ALL
    SELECT 'teams', id, tenant_id, expected FROM teams JOIN expected_of_team USING (id)
    UNION ALL
    SELECT 'virtual_keys', id, tenant_id, expected FROM virtual_keys JOIN expected_of_key USING (id)
    UNION ALL
    SELECT 'virtual_key_provider_configs', id::text, tenant_id, expected
      FROM virtual_key_provider_configs JOIN expected_of_provider_config USING (id)
    UNION ALL
    SELECT 'virtual_key_provider_config_keys', provider_config_id::text, tenant_id, expected
      FROM virtual_key_provider_config_keys
      JOIN expected_of_provider_config AS configs ON configs.id = provider_config_id
    UNION ALL
    SELECT 'virtual_key_mcp_configs', configs.id::text, tenant_id, expected
      FROM virtual_key_mcp_configs AS configs JOIN expected_of_key ON expected_of_key.id = virtual_key_id
    UNION ALL
    SELECT 'model_configs', id, tenant_id, expected FROM model_configs JOIN expected_of_model_config USING (id)
    UNION ALL
    SELECT table_name, limits.id, tenant_id,
           coalesce('customer:' || customer_id, team.expected, key.expected, config.expected, model.expected)
      FROM limits
      LEFT JOIN expected_of_team AS team ON team.id = team_id
      LEFT JOIN expected_of_key AS key ON key.id = virtual_key_id
      LEFT JOIN expected_of_provider_config AS config ON config.id = provider_config_id
      LEFT JOIN expected_of_model_config AS model ON model.id = model_config_id
"""
