"""Provider keys, MCP clients, pricing overrides and routing rules by their ids, as they are shown.

They have no limits and belong to the whole deployment, so each is a template without a hole, of the tenant `global`;
everyone sees the same of them, at any time.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from service.domain.catalogue import (
    ListedKey,
    ListedMcpClient,
    ListedProvider,
    McpClient,
    McpClientConfig,
    McpTool,
    PricingOverrideEntity,
    ProviderKeyEntity,
)
from service.domain.routing import RoutingRuleEntity
from service.governance.tree.limits import set_or_left_out
from service.governance.tree.shown import Shown
from service.governance.tree.template import Meters, make_template
from service.store.mcp_clients import load_mcp_clients
from service.store.postgres import Connection
from service.store.pricing_overrides import load_pricing_overrides
from service.store.provider_keys import load_provider_keys
from service.store.routing_rules import load_routing_rules
from service.store.trees import Row

_TENANT_ID = "global"
_EVERY_TOOL = "*"
# Among the states Bifrost has for a client: the one that promises nothing.
_STATE = "disconnected"
_LARGEST_ID = 2**63 - 1


async def show_provider_keys(connection: Connection, ids: Sequence[str], **_: object) -> list[Shown]:
    rows = await load_provider_keys(connection, ids=ids)
    return _in_order(ids, {row["id"]: ProviderKeyEntity(**_set_columns(row)) for row in rows})


async def show_listed_keys(connection: Connection, ids: Sequence[str], **_: object) -> list[Shown]:
    """As Bifrost lists them."""
    rows = await load_provider_keys(connection, ids=ids)
    return _in_order(ids, {row["id"]: _listed_key(row) for row in rows})


async def show_listed_providers(connection: Connection, ids: Sequence[str], **_: object) -> list[Shown]:
    """As Bifrost lists them, each with its keys; their names are their ids."""
    keys: defaultdict[str, list[ListedKey]] = defaultdict(list)
    for row in await load_provider_keys(connection, providers=ids):
        keys[row["provider"]].append(_listed_key(row))
    return _in_order(ids, {name: ListedProvider(name=name, keys=of_provider) for name, of_provider in keys.items()})


async def show_mcp_clients(connection: Connection, ids: Sequence[str], **_: object) -> list[Shown]:
    rows = await load_mcp_clients(connection, _numbers(ids))
    return _in_order(ids, {str(row["id"]): McpClient(**_set_columns(row)) for row in rows})


async def show_listed_mcp_clients(connection: Connection, ids: Sequence[str], **_: object) -> list[Shown]:
    """As Bifrost lists them."""
    rows = await load_mcp_clients(connection, _numbers(ids))
    return _in_order(ids, {str(row["id"]): _listed_mcp_client(row) for row in rows})


async def show_pricing_overrides(connection: Connection, ids: Sequence[str], **_: object) -> list[Shown]:
    rows = await load_pricing_overrides(connection, ids)
    return _in_order(ids, {row["id"]: _pricing_override(row) for row in rows})


async def show_routing_rules(connection: Connection, ids: Sequence[str], **_: object) -> list[Shown]:
    rows = await load_routing_rules(connection, ids)
    return _in_order(ids, {row["id"]: _routing_rule(row) for row in rows})


def mcp_client_number(mcp_client_id: str) -> int | None:
    """None for what is no id of an MCP client."""
    if not (mcp_client_id.isascii() and mcp_client_id.isdecimal()) or mcp_client_id.startswith("0"):
        return None
    return number if (number := int(mcp_client_id)) <= _LARGEST_ID else None


def _numbers(ids: Iterable[str]) -> list[int]:
    return [number for number in map(mcp_client_number, ids) if number is not None]


def _listed_key(row: Row) -> ListedKey:
    columns = _set_columns(row)
    names = ("id", "name", "provider", "value", "models", "weight", "config_hash")
    configs = ("azure_key_config", "vertex_key_config", "bedrock_key_config")
    return ListedKey(key_id=row["id"], enabled=row["is_active"], **{name: columns[name] for name in (*names, *configs)})


def _listed_mcp_client(row: Row) -> ListedMcpClient:
    names = ("id", "name", "connection_type", "connection_string", "tools_to_execute", "config_hash")
    config = McpClientConfig(
        client_id=str(row["id"]),
        allow_on_all_virtual_keys=row["allow_by_default"],
        **{name: row[name] for name in names},
    )
    tools = [McpTool(name=name) for name in row["tools_to_execute"] if name != _EVERY_TOOL]
    return ListedMcpClient(config=config, tools=tools, state=_STATE)


def _pricing_override(row: Row) -> PricingOverrideEntity:
    patch = bytes(row["pricing_patch"]).decode()
    return PricingOverrideEntity(**(_set_columns(row) | {"pricing_patch": patch}))


def _routing_rule(row: Row) -> RoutingRuleEntity:
    """`scope_id` is null for the whole deployment, and not left out."""
    return RoutingRuleEntity(**(_set_columns(row) | {"scope_id": row["scope_id"]}))


def _set_columns(row: Row) -> dict[str, Any]:
    """A column that is NULL is left out of the JSON."""
    return {name: set_or_left_out(value) for name, value in row.items()}


def _in_order(ids: Sequence[str], entities: Mapping[str, msgspec.Struct]) -> list[Shown]:
    return [
        Shown(entity_id, _TENANT_ID, make_template(entities[entity_id], Meters()))
        for entity_id in ids
        if entity_id in entities
    ]
