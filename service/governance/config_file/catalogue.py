"""Provider keys and MCP clients as they are stored, with what of them is sealed."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from service.domain.config_file.entries import Entity, McpClientEntry, ProviderKeyEntry
from service.domain.redaction import restored
from service.domain.sealing import NotOpenedError, Sealer, sealed_mcp_client, sealed_provider_key
from service.store.config_file import find_provider_keys, load_sealed
from service.store.mcp_clients import load_mcp_clients as load_mcp_client_rows
from service.store.postgres import Connection
from service.store.provider_keys import load_provider_keys as load_provider_key_rows
from service.store.trees import Row
from service.store.virtual_key_configs import find_mcp_client_ids

KEY_CONFIGS = ("azure_key_config", "vertex_key_config", "bedrock_key_config")


class Stored(msgspec.Struct, frozen=True):
    """An entity as it is stored: `row_id` is what it is changed by, `open` its entry without what is sealed."""

    entity: Entity
    row_id: str
    config_hash: str
    tenant_id: str | None = None
    open: Any = None


async def load_provider_keys(connection: Connection, names: Sequence[str], sealer: Sealer) -> dict[str, Stored]:
    """By name; `names` may be ids too."""
    ids = list((await find_provider_keys(connection, names)).values())
    sealed = await load_sealed(connection, "provider_key", ids)
    rows = await load_provider_key_rows(connection, ids=ids)
    return {row["name"]: _provider_key(row, _opened_secrets(row["id"], sealed, sealer)) for row in rows}


async def load_mcp_clients(connection: Connection, names: Sequence[str], sealer: Sealer) -> dict[str, Stored]:
    """By name."""
    ids = list((await find_mcp_client_ids(connection, names)).values())
    sealed = await load_sealed(connection, "mcp_client", ids)
    rows = await load_mcp_client_rows(connection, ids)
    return {row["name"]: _mcp_client(row, sealed.get(row["id"]), sealer) for row in rows}


def _provider_key(row: Row, secrets: Mapping[str, str]) -> Stored:
    fields = {name: row[name] for name in ("id", "name", "provider", "weight", "models", "is_active")}
    open_entry = ProviderKeyEntry(**fields, **_secret_fields(row, {}))
    entry = ProviderKeyEntry(**fields, **_secret_fields(row, secrets))
    entity = Entity(kind="provider_key", id=row["name"], entry=entry)
    return Stored(entity, row_id=row["id"], config_hash=row["config_hash"], open=open_entry)


def _secret_fields(row: Row, secrets: Mapping[str, str]) -> dict[str, Any]:
    """With those secrets that are known, and without the others."""
    fields: dict[str, Any] = {}
    for name in ("value", *KEY_CONFIGS):
        shown = row[name]
        if shown is None:
            continue
        known = restored(shown if name == "value" else msgspec.json.decode(shown), secrets, f"$.{name}")
        if known is not msgspec.UNSET:
            fields[name] = known
    return fields


def _opened_secrets(key_id: str, sealed: Mapping[str, bytes], sealer: Sealer) -> dict[str, str]:
    if key_id not in sealed:
        return {}
    try:
        document = sealer.open(sealed[key_id], belongs_to=sealed_provider_key(key_id))
    except NotOpenedError:
        return {}
    return msgspec.json.decode(document, type=dict[str, str])


def _mcp_client(row: Row, sealed: bytes | None, sealer: Sealer) -> Stored:
    names = ("name", "connection_type", "tools_to_execute", "allow_by_default")
    fields = {name: row[name] for name in names}
    shown = row["connection_string"] if sealed is None else None
    entry = McpClientEntry(**fields, connection_string=_opened_connection(row["id"], sealed, sealer) or shown)
    entity = Entity(kind="mcp_client", id=row["name"], entry=entry)
    open_entry = McpClientEntry(**fields, connection_string=shown)
    return Stored(entity, row_id=str(row["id"]), config_hash=row["config_hash"], open=open_entry)


def _opened_connection(client_id: int, sealed: bytes | None, sealer: Sealer) -> str | None:
    if sealed is None:
        return None
    try:
        return sealer.open(sealed, belongs_to=sealed_mcp_client(client_id))
    except NotOpenedError:
        return None
