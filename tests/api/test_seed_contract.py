"""The answer against the document that started the project, and against what Bifrost added since."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.store.postgres import Connection
from tests.api.bifrost_fields import LATER_FIELDS
from tests.api.shapes import Shape, kind_of, shape_of, walk
from tests.conftest import TestApi
from tests.factories import Factory
from tests.full_tree import AZURE, BEDROCK, VERTEX, make_full_tree
from tests.reading import read_customers, read_only_customer, read_page

SEED = json.loads((Path(__file__).parent / "seed_customers.json").read_text())


def virtual_keys_as_one(shape: Shape) -> Shape:
    """A virtual key has a team or a customer: together those of both show all fields of a virtual key."""
    joined: Shape = {}
    for path, kinds in shape.items():
        joined.setdefault(path.replace(".teams[].virtual_keys[]", ".virtual_keys[]"), set()).update(kinds)
    return joined


def differences(expected: Shape, actual: Shape) -> list[str]:
    return [
        f"{path}: {sorted(actual.get(path, {'absent'}))} is not {sorted(kinds)}"
        for path, kinds in expected.items()
        if actual.get(path) != kinds
    ]


def without_free_json(customer: Any) -> Any:
    """The document without what operators may fill with anything."""
    if isinstance(customer, dict):
        kept = {name: value for name, value in customer.items() if name not in {"profile", "config", "claims"}}
        return {name: without_free_json(value) for name, value in kept.items()}
    return [without_free_json(entry) for entry in customer] if isinstance(customer, list) else customer


async def test_every_field_of_the_seed_document_is_served_with_its_type(api: TestApi, make: Factory) -> None:
    await make_full_tree(make)
    actual = virtual_keys_as_one(shape_of(await read_page(api)))
    assert differences(virtual_keys_as_one(shape_of(SEED)), actual) == []


async def test_fields_of_team_keys_and_customer_keys_each_have_the_seed_types(api: TestApi, make: Factory) -> None:
    await make_full_tree(make)
    expected, actual = shape_of(SEED), shape_of(await read_page(api))
    owner_fields = re.compile(
        r"teams\[\]\.virtual_keys\[\]\.customer(_id)?|customers\[\]\.virtual_keys\[\]\.team(_id)?"
    )
    shared = {path: kinds for path, kinds in expected.items() if not owner_fields.search(path)}
    assert differences(shared, actual) == []


async def test_every_field_bifrost_added_is_served_with_its_type(api: TestApi, make: Factory) -> None:
    await make_full_tree(make)
    expected = {path: {kind} for path, kind in LATER_FIELDS.items()}
    assert differences(expected, virtual_keys_as_one(shape_of(await read_page(api)))) == []


async def test_nothing_is_null(api: TestApi, make: Factory) -> None:
    await make_full_tree(make)
    await make.team(customer_id="acme")
    await make.virtual_key(team_id="research")
    customers = without_free_json(await read_customers(api))
    assert [path for path, value in walk(customers) if value is None] == []


async def test_what_is_not_set_is_left_out_and_arrays_are_empty(api: TestApi, make: Factory) -> None:
    await make.customer(id="bare")
    await make.team(id="bare-team", customer_id="bare")
    await make.virtual_key(id="bare-key", customer_id="bare")
    await make.provider_config(virtual_key_id="bare-key")
    customer = await read_only_customer(api)
    stamps = {"config_hash", "created_at", "updated_at"}
    assert set(customer) == stamps | {
        *("id", "name", "calendar_aligned", "time_zone", "budgets", "teams", "virtual_keys", "virtual_key_count"),
    }
    assert customer["budgets"] == []
    team = customer["teams"][0]
    assert set(team) == stamps | {
        *("id", "name", "customer_id", "customer", "calendar_aligned", "budgets", "virtual_keys", "virtual_key_count"),
        *("time_zone", "profile", "config", "claims"),
    }
    assert (team["virtual_keys"], team["budgets"], team["profile"], team["claims"]) == ([], [], {}, {})
    virtual_key = customer["virtual_keys"][0]
    assert set(virtual_key) == stamps | {
        *("id", "name", "description", "value", "is_active", "customer_id", "customer", "calendar_aligned"),
        *("time_zone", "allow_all_providers", "keys", "budgets", "provider_configs", "mcp_configs", "metadata"),
    }
    assert (virtual_key["keys"], virtual_key["mcp_configs"], virtual_key["description"]) == ([], [], "")
    config = virtual_key["provider_configs"][0]
    assert set(config) == {
        *("id", "virtual_key_id", "provider", "allowed_models", "blacklisted_models", "allow_all_keys", "keys"),
        "budgets",
    }
    assert (config["keys"], config["blacklisted_models"], config["budgets"]) == ([], [], [])


async def test_a_rate_limit_of_one_metric_still_shows_both_usages(api: TestApi, make: Factory) -> None:
    await make.customer(id="acme")
    await make.rate_limit(customer_id="acme", request_max_limit=None, request_reset_duration=None)
    rate_limit = (await read_only_customer(api))["rate_limit"]
    assert "request_max_limit" not in rate_limit
    assert "request_reset_duration" not in rate_limit
    assert rate_limit["request_current_usage"] == 0
    assert kind_of(rate_limit["request_last_reset"]) == "date-time"


async def test_timestamps_are_rfc_3339_in_utc(api: TestApi, make: Factory, connection: Connection) -> None:
    await connection.execute("SET TIME ZONE 'Asia/Kolkata'")
    await make_full_tree(make)
    customers = await read_customers(api)
    stamps = [value for _, value in walk(customers) if isinstance(value, str) and kind_of(value) == "date-time"]
    assert len(stamps) > 100
    assert [stamp for stamp in stamps if not stamp.endswith("Z")] == []
    shown = customers[0]["virtual_keys"][0]["expires_at"]
    assert datetime.fromisoformat(shown) == datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)


async def test_the_single_budget_is_the_first_of_the_budgets(api: TestApi, make: Factory) -> None:
    await make_full_tree(make)
    customer = await read_only_customer(api)
    for owner in (customer, customer["teams"][0], customer["virtual_keys"][0]):
        assert len(owner["budgets"]) == 3
        assert owner["budget"] == owner["budgets"][0]
        assert owner["budget_id"] == owner["budgets"][0]["id"]
        assert owner["budget_id"].endswith("-month")
        assert owner["rate_limit_id"] == owner["rate_limit"]["id"]


async def test_the_keys_of_a_virtual_key_are_those_its_configs_are_pinned_to_once_each(
    api: TestApi, make: Factory
) -> None:
    await make_full_tree(make)
    virtual_key = (await read_only_customer(api))["virtual_keys"][0]
    by_id = {key["id"]: key for key in virtual_key["keys"]}
    assert len(virtual_key["keys"]) == len(by_id) == 3
    assert by_id["azure"]["azure_key_config"] == AZURE
    assert by_id["vertex"]["vertex_key_config"] == VERTEX
    assert by_id["bedrock"]["bedrock_key_config"] == BEDROCK
    assert "bedrock_key_config" not in by_id["azure"]
    assert [[key["id"] for key in config["keys"]] for config in virtual_key["provider_configs"]] == [
        ["azure", "vertex"],
        ["azure", "bedrock"],
    ]


async def test_nested_owners_are_references(api: TestApi, make: Factory) -> None:
    await make_full_tree(make)
    customer = await read_only_customer(api)
    team = customer["teams"][0]
    acme, research = {"id": "acme", "name": "Acme"}, {"id": "research", "name": "Research"}
    assert (team["customer"], team["customer_id"]) == (acme, "acme")
    assert (team["virtual_keys"][0]["team"], team["virtual_keys"][0]["team_id"]) == (research, "research")
    assert (customer["virtual_keys"][0]["customer"], customer["virtual_keys"][0]["customer_id"]) == (acme, "acme")


async def test_everything_is_in_the_order_of_creation_then_id(api: TestApi, make: Factory) -> None:
    first, second = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    for made, ids in ((second, "ca"), (first, "db")):
        for each in ids:
            await make.customer(id=each, name=f"customer {each}", created_at=made)
    for made, ids in ((second, "ca"), (first, "db")):
        for each in ids:
            await make.team(id=each, name=f"team {each}", customer_id="a", created_at=made)
            await make.virtual_key(id=each, name=f"key {each}", customer_id="a", created_at=made)
            await make.budget(id=each, customer_id="a", created_at=made)
    customers = await read_customers(api)
    assert [customer["id"] for customer in customers] == ["b", "d", "a", "c"]
    for entities in ("teams", "virtual_keys", "budgets"):
        assert [entity["id"] for entity in customers[2][entities]] == ["b", "d", "a", "c"], entities
