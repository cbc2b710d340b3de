"""What is exported is what is there: importing it changes nothing here, and makes the same elsewhere."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from service.app import build_app
from service.domain.sealing import Sealer
from service.governance.config_file.export import export_config
from service.settings import Settings
from service.store.postgres import Connection, connect
from tests.conftest import TestApi
from tests.demo.trees import whole_content, write
from tests.factories import Factory
from tests.full_tree import make_full_tree
from tests.governance.config_files import Files
from tests.reading import read_customers
from tests.servers import Servers, clone_template, drop_database

Connect = Callable[..., Awaitable[TestApi]]

# What a database has of its own: stamps, hashes of files and the numbers it gives.
_OWN = {"created_at", "updated_at", "last_reset", "token_last_reset", "request_last_reset", "rotated_at"}
_OWN |= {"previous_value_expires_at", "config_hash", "provider_config_id", "mcp_client_id"}


@pytest.fixture
def files(connection: Connection, sealer: Sealer) -> Files:
    return Files(connection, sealer)


@pytest.fixture
async def elsewhere(servers: Servers) -> AsyncIterator[str]:
    """The URL of another database, without rows."""
    url = await clone_template(servers)
    yield url
    await drop_database(servers.postgres_url, urlsplit(url).path.removeprefix("/"))


async def make_everything(make: Factory, api: TestApi, connection: Connection) -> None:
    """The full tree, and what is beside it: limits of models and providers, secrets, prices."""
    await make_full_tree(make)
    await make.customer(id="berlin", name="Berlin", time_zone="Europe/Berlin")
    for path, body in (
        ("model-configs", {"model_name": "gpt-4o", "budgets": [{"max_limit": 3, "reset_duration": "1d"}]}),
        ("model-configs", {"model_name": "o1", "scope": "virtual_key", "scope_id": "of-team", "rate_limits": RULES}),
        ("provider-keys", {"name": "sealed", "provider": "azure", "value": "sk-of-azure", "azure_key_config": AZURE}),
        ("mcp-clients", {"name": "sealed", "connection_string": "https://u:p@mcp.example.com/x"}),
        ("pricing-overrides", PRICES),
    ):
        response = await api.post(f"/api/governance/{path}", json=body)
        assert response.status in (200, 201), await response.text()
    limits = {"rate_limit": {"request_max_limit": 5, "request_reset_duration": "1m"}, "time_zone": "Asia/Tokyo"}
    assert (await api.put("/api/governance/providers/openai", json=limits)).status == 200


RULES = [
    {"metric": "requests", "max_limit": 15, "reset_duration": "1m"},
    {"metric": "requests", "max_limit": 1500, "reset_duration": "1d"},
    {"metric": "tokens", "max_limit": 10_000, "reset_duration": "1m"},
]
AZURE = {"endpoint": "https://x.example.com", "client_secret": "the secret of azure"}
PRICES = {
    "name": "cheaper",
    "scope_kind": "virtual_key",
    "virtual_key_id": "of-team",
    "match_type": "wildcard",
    "pattern": "gpt-*",
    "patch": {"input_cost_per_token": 1e-6},
}


@pytest.mark.parametrize("with_values", [False, True])
async def test_an_import_of_what_was_exported_changes_nothing(
    make: Factory, files: Files, api: TestApi, connection: Connection, with_values: bool
) -> None:
    await make_everything(make, api, connection)
    document = await files.export(with_values=with_values)
    assert await files.changes(document, mode="source-of-truth") == []
    before = await whole_content(connection)
    assert await files.changes(document, mode="source-of-truth") == []
    assert await whole_content(connection) == before, "not even a stamp"
    assert await files.export(with_values=with_values) == document


async def test_an_import_of_an_exported_demo_tree_changes_nothing(
    files: Files, sealer: Sealer, connection: Connection
) -> None:
    await write(connection, sealer)
    document = await files.export()
    outcome = await files.load(document, dry_run=True)
    assert (outcome.lines, outcome.warnings) == ([], [])
    assert outcome.unchanged > len(document["governance"]["virtual_keys"]) > 10


@pytest.mark.parametrize("with_values", [False, True])
async def test_an_export_makes_the_same_elsewhere(  # noqa: PLR0917  # each is a fixture
    make: Factory,
    files: Files,
    api: TestApi,
    sealer: Sealer,
    connection: Connection,
    elsewhere: str,
    settings: Settings,
    aiohttp_client: Connect,
    with_values: bool,
) -> None:
    await write(connection, sealer)
    await make_everything(make, api, connection)
    document = await files.export(with_values=with_values)
    other = await connect(elsewhere)
    outcome = await Files(other, sealer).load(document)
    assert {line.sign for line in outcome.lines} == {"+"}
    again = await Files(other, sealer).export(with_values=with_values)
    other_api = await aiohttp_client(build_app(msgspec.structs.replace(settings, database_url=elsewhere)))
    hidden = set() if with_values else {"value"}
    # Windows, and what was used in them, are a database's own.
    hidden |= {"current_usage", "token_current_usage", "request_current_usage", "override_cycles_remaining"}
    made, origin = await read_customers(other_api), await read_customers(api)
    assert dict(_leaves(_without(hidden, made))) == dict(_leaves(_without(hidden, origin)))
    assert await Files(other, sealer).changes(again, dry_run=True) == []
    if with_values:
        assert _unnumbered(again) == _unnumbered(document)
    await other.close()


async def test_an_export_without_values_holds_no_secret(
    make: Factory, api: TestApi, connection: Connection, sealer: Sealer
) -> None:
    await make_everything(make, api, connection)
    value = (await (await api.get("/api/governance/virtual-keys/of-team")).json())["virtual_key"]["value"]
    secrets = (value, "sk-of-azure", "the secret of azure", "u:p@mcp.example.com/x")
    without = (await export_config(connection, sealer, with_values=False)).content.decode()
    assert [secret for secret in secrets if secret in without] == []
    exported = await export_config(connection, sealer, with_values=True)
    assert [secret for secret in secrets if secret not in exported.content.decode()] == []
    assert exported.left_out == {}


async def test_an_export_says_how_many_secrets_it_left_out(
    make: Factory, api: TestApi, connection: Connection, sealer: Sealer
) -> None:
    await make_everything(make, api, connection)
    exported = await export_config(connection, sealer, with_values=False)
    assert exported.left_out == {"virtual_key": 2, "provider_key": 1, "mcp_client": 1}


async def test_more_than_a_piece_of_anything_is_exported(
    make: Factory, files: Files, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.config_file.PIECE", 2)
    for number in range(5):
        customer_id = await make.customer(id=f"customer {number}")
        await make.mcp_client(name=f"client {number}")
        await make.virtual_key(id=f"key {number}", customer_id=customer_id)
    document = await files.export()
    assert [customer["id"] for customer in document["governance"]["customers"]] == [f"customer {n}" for n in range(5)]
    assert len(document["mcp"]["client_configs"]) == len(document["governance"]["virtual_keys"]) == 5


def _without(hidden: set[str], value: Any) -> Any:
    """Without what a database has of its own, and numbered ids."""
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name not in _OWN | hidden}
        return {name: _without(hidden, item) for name, item in kept.items() if not (name == "id" and type(item) is int)}
    return [_without(hidden, item) for item in value] if isinstance(value, list) else value


def _leaves(value: Any, path: str = "$") -> Iterator[tuple[str, Any]]:
    """By their paths, so that a difference is found."""
    if not isinstance(value, dict | list) or not value:
        yield path, value
        return
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        yield from _leaves(item, f"{path}.{name}")


def _unnumbered(document: Any) -> Any:
    return _without(set(), json.loads(json.dumps(document)))
