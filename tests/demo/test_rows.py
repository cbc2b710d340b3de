"""What a tree is made of: every kind of row and setting there is, even in the smallest."""

import json
import re
from pathlib import Path

import pytest

from service.demo.catalogue import MCP_CLIENTS, MODELS, PROVIDER_KEYS
from service.demo.names import customer_name, team_name
from service.demo.shape import MAX_SEED, DemoShape, DemoTree, virtual_key_value
from service.demo.virtual_key_kinds import CUSTOMER_VIRTUAL_KEY_KINDS, VIRTUAL_KEY_KINDS
from service.domain.sealing import Sealer, sealed_virtual_key
from service.store.postgres import Connection
from tests.api.shapes import shape_of
from tests.conftest import Clock, TestApi
from tests.demo.trees import NOW, count_rows, write
from tests.reading import read_page

SEED_DOCUMENT = json.loads((Path(__file__).parents[1] / "api" / "seed_customers.json").read_text())
# A virtual key has one owner: the seed document shows both.
NEVER_THERE = re.compile(r"teams\[\]\.virtual_keys\[\]\.customer(_id)?$|customers\[\]\.virtual_keys\[\]\.team(_id)?$")
KINDS = (*VIRTUAL_KEY_KINDS, *CUSTOMER_VIRTUAL_KEY_KINDS)

PARTS = {
    "customers": ["time_zone <> 'UTC'", "calendar_aligned", "NOT calendar_aligned", "max_parallel_requests > 0"],
    "teams": ["profile <> '{}'", "config <> '{}'", "claims <> '{}'", "calendar_aligned", "max_parallel_requests > 0"],
    "virtual_keys": [
        "NOT is_active",
        "expires_at < $1",
        "expires_at > $1",
        "expires_at IS NULL",
        "delete_after_expire",
        "disable_content_logging",
        "allow_all_providers",
        "max_parallel_requests > 0",
        "metadata <> '{}'",
        "description <> ''",
        "created_by_user_id IS NOT NULL",
        "calendar_aligned",
        "team_id IS NOT NULL",
        "customer_id IS NOT NULL",
    ],
    "virtual_key_provider_configs": [
        *(f"provider = '{provider}'" for provider in MODELS),
        "weight IS NULL",
        "weight > 0",
        "allowed_models = '{*}'",
        "cardinality(allowed_models) > 1",
        "blacklisted_models <> '{}'",
        "allow_all_keys",
        "NOT allow_all_keys",
    ],
    "provider_keys": [f"{kind}_key_config IS NOT NULL" for kind in ("azure", "vertex", "bedrock")],
    "mcp_clients": ["allow_by_default", *(f"connection_type = '{kind}'" for kind in ("http", "sse", "stdio"))],
    "virtual_key_mcp_configs": ["tools_to_execute = '{*}'", "cardinality(tools_to_execute) > 1"],
    "budgets": [
        *(f"{owner}_id IS NOT NULL" for owner in ("customer", "team", "virtual_key", "provider_config")),
        *(f"reset_duration = '{duration}'" for duration in ("1d", "1w", "30d", "1M", "1Q", "1Y")),
        "position = 1",
        "quarter_start_month IS NOT NULL",
        "override_mode = 'cycles'",
        "override_mode = 'forever'",
    ],
    "rate_limits": [
        *(f"{owner}_id IS NOT NULL" for owner in ("customer", "team", "virtual_key", "provider_config")),
        "token_max_limit IS NULL",
        "request_max_limit IS NULL",
        "num_nulls(token_max_limit, request_max_limit) = 0",
    ],
    "usage_events": ["status = 'success'", "status = 'error'"],
}


async def test_the_default_tree_has_every_kind_of_row_and_setting(connection: Connection, sealer: Sealer) -> None:
    await write(connection, sealer)
    checks = [(table, condition) for table, conditions in PARTS.items() for condition in conditions]
    absent = [
        f"{table}: {condition}"
        for table, condition in checks
        if not await count_rows(connection, table, condition, *([NOW] if "$1" in condition else []))
    ]
    assert absent == []


async def test_the_default_tree_shows_every_field_of_the_seed_document(
    api: TestApi, connection: Connection, sealer: Sealer, clock: Clock
) -> None:
    await write(connection, sealer, now=clock.now)
    shown = set(shape_of(await read_page(api)))
    assert [path for path in shape_of(SEED_DOCUMENT) if not NEVER_THERE.search(path) and path not in shown] == []


async def test_the_seed_documents_provider_configurations_are_the_demos(connection: Connection, sealer: Sealer) -> None:
    await write(connection, sealer)
    key = SEED_DOCUMENT["customers"][0]["virtual_keys"][0]["keys"][0]
    for config in ("azure_key_config", "vertex_key_config", "bedrock_key_config"):
        assert await count_rows(connection, "provider_keys", f"{config} = $1", json.dumps(key[config]).encode()) == 1
    given = ("name = $1 AND value = $2 AND weight = $3 AND models = $4", key["name"], key["value"])
    assert await count_rows(connection, "provider_keys", *given, key["weight"], key["models"]) == 1
    assert await count_rows(connection, "provider_keys", "secrets_sealed IS NOT NULL") == 0


async def test_rows_in_the_order_of_creation_are_in_the_order_of_numbers(
    connection: Connection, sealer: Sealer
) -> None:
    shape = DemoShape(4, 3, 5)
    await write(connection, sealer, shape)
    names = await connection.fetch("SELECT name FROM customers ORDER BY created_at, id")
    assert [row["name"] for row in names] == [customer_name(shape.seed, number) for number in range(shape.customers)]
    hashes = await connection.fetch("SELECT value_hash FROM virtual_keys ORDER BY created_at, id")
    tree = DemoTree(shape=shape, now=NOW, sealer=sealer, mcp_client_ids={})
    values = [virtual_key_value(tree, number) for number in range(shape.virtual_keys)]
    assert [row["value_hash"] for row in hashes] == [sealer.hash_virtual_key(value) for value in values]


async def test_a_virtual_key_opens_to_the_value_it_is_looked_up_by(connection: Connection, sealer: Sealer) -> None:
    await write(connection, sealer)
    for row in await connection.fetch("SELECT id, value_sealed, value_hash FROM virtual_keys"):
        value = sealer.open(row["value_sealed"], belongs_to=sealed_virtual_key(row["id"]))
        assert value.startswith("sk-bf-")
        assert sealer.hash_virtual_key(value) == row["value_hash"]


def test_names_are_unique_at_any_size() -> None:
    customers = [customer_name(1, number) for number in range(5_000)]
    assert len(set(customers)) == len(customers)
    teams = [team_name("Acme", customer_number=3, number=number) for number in range(500)]
    assert len(set(teams)) == len(teams)


def test_what_a_kind_names_is_in_the_catalogue() -> None:
    providers = [plan for kind in KINDS for plan in kind.providers]
    assert {(key, plan.provider) for plan in providers for key in plan.provider_keys} <= {
        (key.name, key.provider) for key in PROVIDER_KEYS
    }
    named = {(plan.provider, name) for plan in providers for name in (*plan.models, *plan.blacklisted_models)}
    there = {(provider, model.name) for provider, models in MODELS.items() for model in models}
    assert {(provider, name) for provider, name in named if name != "*"} <= there
    tools = {(client.name, tool) for client in MCP_CLIENTS for tool in (*client.tools, "*")}
    assert {(client, tool) for kind in KINDS for client, names in kind.mcp_tools.items() for tool in names} <= tools


@pytest.mark.parametrize(
    "numbers", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1_001, 100, 10), (1, 1, 1, -1), (1, 1, 1, MAX_SEED + 1)]
)
def test_a_shape_out_of_bounds_is_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must|at most"):
        DemoShape(*numbers)
