"""A long walk of chance changes: whatever is done to the tree, every row is in its tenant, whose numbers tell of it."""

import random
import re

import pytest

from service.store.postgres import Connection
from tests.store.planted_tree import assert_every_row_is_in_its_tenant, contents

STEPS = 250

# NEW is a text no row has had, ONE(table) the id of any row of it.
GROWTH = """
    INSERT INTO customers (id, name) VALUES (NEW, NEW);
    INSERT INTO teams (id, name) VALUES (NEW, NEW);
    INSERT INTO teams (id, name, customer_id) VALUES (NEW, NEW, ONE(customers));
    INSERT INTO virtual_keys (id, name, value_hash, value_sealed) VALUES (NEW, NEW, sha256(NEW), '');
    INSERT INTO virtual_keys (id, name, value_hash, value_sealed, team_id)
        VALUES (NEW, NEW, sha256(NEW), '', ONE(teams));
    INSERT INTO virtual_keys (id, name, value_hash, value_sealed, customer_id)
        VALUES (NEW, NEW, sha256(NEW), '', ONE(customers));
    INSERT INTO virtual_key_provider_configs (virtual_key_id, provider)
        SELECT id, NEW FROM virtual_keys WHERE id = ONE(virtual_keys);
    INSERT INTO model_configs (id, model_name, virtual_key_id) VALUES (NEW, NEW, ONE(virtual_keys));
    INSERT INTO provider_keys (id, name, provider) VALUES (NEW, NEW, 'openai');
    INSERT INTO mcp_clients (name) VALUES (NEW);
    INSERT INTO virtual_key_provider_config_keys (provider_config_id, provider_key_id)
        SELECT config.id, key.id FROM virtual_key_provider_configs AS config, provider_keys AS key
         ORDER BY random() LIMIT 2 ON CONFLICT DO NOTHING;
    INSERT INTO virtual_key_mcp_configs (virtual_key_id, mcp_client_id)
        SELECT key.id, client.id FROM virtual_keys AS key, mcp_clients AS client
         ORDER BY random() LIMIT 2 ON CONFLICT DO NOTHING;
"""
LIMITS = """
    INSERT INTO budgets (id, max_limit_nanousd, reset_duration, OWNER_COLUMN)
        SELECT NEW, 1, '1d', id FROM OWNER_TABLE WHERE id = ONE(OWNER_TABLE);
    INSERT INTO rate_limits (id, token_max_limit, token_reset_duration, OWNER_COLUMN)
        SELECT NEW, 1, '1d', id FROM OWNER_TABLE WHERE id = ONE(OWNER_TABLE) ON CONFLICT DO NOTHING;
"""
CHANGES = """
    UPDATE teams SET customer_id = ONE(customers);
    UPDATE teams SET customer_id = ONE(customers) WHERE id = ONE(teams);
    UPDATE teams SET customer_id = NULL WHERE id = ONE(teams);
    UPDATE virtual_keys SET customer_id = NULL, team_id = ONE(teams) WHERE id = ONE(virtual_keys);
    UPDATE virtual_keys SET customer_id = ONE(customers), team_id = NULL WHERE id = ONE(virtual_keys);
    UPDATE virtual_keys SET customer_id = NULL, team_id = NULL WHERE id = ONE(virtual_keys);
    UPDATE virtual_key_provider_configs SET virtual_key_id = ONE(virtual_keys)
     WHERE id = ONE(virtual_key_provider_configs);
    UPDATE budgets SET tenant_id = 'global', max_limit_nanousd = 2 WHERE id = ONE(budgets);
    UPDATE customers SET calendar_aligned = NOT calendar_aligned WHERE id = ONE(customers);
    UPDATE provider_keys SET weight = weight + 1 WHERE id = ONE(provider_keys);
    UPDATE mcp_clients SET name = NEW WHERE id = ONE(mcp_clients);
    DELETE FROM provider_keys WHERE id = ONE(provider_keys);
    DELETE FROM mcp_clients WHERE id = ONE(mcp_clients);
    DELETE FROM budgets WHERE id = ONE(budgets);
    DELETE FROM virtual_keys WHERE id = ONE(virtual_keys);
    DELETE FROM teams WHERE id = ONE(teams);
    DELETE FROM customers WHERE id = ONE(customers);
"""


def statements(text: str) -> list[str]:
    return [statement.strip() for statement in text.split(";") if statement.strip()]


OWNERS = {
    "customer_id": "customers",
    "team_id": "teams",
    "virtual_key_id": "virtual_keys",
    "provider_config_id": "virtual_key_provider_configs",
    "model_config_id": "model_configs",
}
GROWING = statements(GROWTH) + [
    limit.replace("OWNER_COLUMN", column).replace("OWNER_TABLE", table)
    for column, table in OWNERS.items()
    for limit in statements(LIMITS)
]
CHANGING = statements(CHANGES)


def chosen(chance: random.Random, step: int) -> str:
    """A statement to run: in the first half mostly one that lets the tree grow."""
    template = chance.choice(GROWING if chance.random() < (0.8 if step < STEPS / 2 else 0.4) else CHANGING)
    one = r"(SELECT id FROM \1 ORDER BY random() LIMIT 1)"
    return re.sub(r"ONE\((\w+)\)", one, re.sub(r"\bNEW\b", f"'row-{step}'", template))


METERS = """
    SELECT 'budget:' || id AS meter_id FROM budgets
    UNION ALL SELECT 'tokens:' || id FROM rate_limits UNION ALL SELECT 'requests:' || id FROM rate_limits"""
FOUND = "meter_tenant(meter_id) AS found"


class Walk:
    """What was seen on the way, to be held against what is seen now."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.seen: dict[tuple[str, int], str] = {}
        self._meters: dict[str, tuple[str, int]] = {}
        self._layouts: set[int] = set()

    async def look(self, statement: str) -> None:
        await assert_every_row_is_in_its_tenant(self._connection)
        for tenant, state in (await contents(self._connection)).items():
            seen_then = self.seen.setdefault((tenant, state.revision), state.content)
            assert seen_then == state.content, f"{tenant} changed unseen: {statement}"
        await self._look_at_layouts(statement)

    async def _look_at_layouts(self, statement: str) -> None:
        layouts = dict(map(tuple, await self._connection.fetch("SELECT id, layout FROM tenants")))
        rows = await self._connection.fetch(f"SELECT meter_id, found.* FROM ({METERS}) AS all_meters, {FOUND}")
        meters = {row["meter_id"]: (row["tenant_id"], row["layout"]) for row in rows}
        for meter_id in meters.keys() & self._meters.keys():
            (tenant, layout), (old_tenant, old_layout) = meters[meter_id], self._meters[meter_id]
            if tenant != old_tenant:
                assert layout not in self._layouts, f"{meter_id} came unseen: {statement}"
                assert layouts.get(old_tenant) != old_layout, f"{meter_id} went unseen: {statement}"
        self._meters, self._layouts = meters, self._layouts | set(layouts.values())


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_change_hides_from_revision_or_layout_and_no_row_strays(connection: Connection, seed: int) -> None:
    await connection.execute(f"SELECT setseed({seed / 10})")
    chance, walk = random.Random(seed), Walk(connection)
    for step in range(STEPS):
        statement = chosen(chance, step)
        await connection.execute(statement)
        await walk.look(statement)
    assert len(walk.seen) > STEPS / 2, "too little happened"
