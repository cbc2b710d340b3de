"""What differs between an entity as it is stored and as a file has it, and the hash of an entry."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from service.domain.config_file.entries import Entity, McpConfigEntry, ProviderConfigEntry, said
from service.domain.redaction import is_open

# Field by field, `[before, after]`; a path for a field of a part, as in `budgets[monthly].max_limit`.
Differences = dict[str, list[Any]]
# What is compared by those who can open what is sealed.
_SECRETS = frozenset({"value", "azure_key_config", "vertex_key_config", "bedrock_key_config", "connection_string"})
# Parts of an entry that are listed, and what tells them apart.
_IDENTITIES = ("id", "provider", "mcp_client_name")
_PARTS = ("budgets", "rate_limits")
_NOTHING: tuple[Any, ...] = (None, "", [], {})


def config_hash(entity: Entity, digest: Callable[[str], str]) -> str:
    """SHA-256 in hex of the entry's canonical JSON with its limits; a secret goes into it as its keyed `digest`."""
    entity = _comparable(entity)
    secrets = {name: getattr(entity.entry, name, None) for name in _SECRETS}
    hidden = {name: _hidden(secret, digest) for name, secret in secrets.items() if secret is not None}
    limits = {part: said(owned) for part, owned in entity.limits.items()}
    document = {"entry": said(entity.entry) | hidden, "limits": limits}
    return hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()


def differences(before: Entity | None, after: Entity) -> Differences:
    """Of everything but secrets. Of parts that are gone only that; of new ones all that is said of them."""
    old = {} if before is None else dict(_fields(_comparable(before)))
    new = dict(_fields(_comparable(after)))
    said = {name: value for name, value in new.items() if name in old or value not in _NOTHING}
    lists = {name: None for name in old if name not in new and name.endswith(_PARTS)}
    both = {name: [old.get(name), value] for name, value in (said | lists).items()}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


def _comparable(entity: Entity) -> Entity:
    """In one order, without the ids a file or a database has for provider configs."""
    entry = entity.entry
    if entity.kind == "provider_key":
        return msgspec.structs.replace(entity, entry=msgspec.structs.replace(entry, id=None))
    if entity.kind != "virtual_key":
        return entity
    configs = [
        msgspec.structs.replace(config, id=None, key_ids=sorted(config.key_ids)) for config in entry.provider_configs
    ]
    ordered = {
        "provider_configs": sorted(configs, key=lambda config: config.provider),
        "mcp_configs": sorted(entry.mcp_configs, key=lambda config: config.mcp_client_name),
    }
    return msgspec.structs.replace(entity, entry=msgspec.structs.replace(entry, **ordered))


def _hidden(secret: object, digest: Callable[[str], str]) -> str:
    if isinstance(secret, str) and is_open(secret):
        return secret
    return digest(msgspec.json.encode(secret, order="sorted").decode())


def _fields(entity: Entity) -> Iterator[tuple[str, Any]]:
    yield from _flat(entity.entry, "")
    for part, limits in entity.limits.items():
        prefix = f"provider_configs[{part}]." if part else ""
        yield from _flat_list(limits.budgets, f"{prefix}budgets")
        yield from _flat_list(limits.rate_limits, f"{prefix}rate_limits")


def _flat(part: msgspec.Struct, prefix: str) -> Iterator[tuple[str, Any]]:
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if name in _SECRETS:
            continue
        if isinstance(value, list) and value and isinstance(value[0], ProviderConfigEntry | McpConfigEntry):
            yield from _flat_list(value, prefix + name)
        elif isinstance(value, msgspec.Struct):
            yield prefix + name, msgspec.to_builtins(value)
        elif isinstance(value, datetime):
            yield prefix + name, value.astimezone(UTC).isoformat()
        else:
            yield prefix + name, value


def _flat_list(parts: list[Any], path: str) -> Iterator[tuple[str, Any]]:
    identity = next((name for name in _IDENTITIES if parts and getattr(parts[0], name, None) is not None), "id")
    names = [getattr(part, identity) for part in parts]
    yield path, names
    for name, part in zip(names, parts, strict=True):
        yield from _flat(part, f"{path}[{name}].")


def untold(changes: Mapping[str, list[Any]]) -> Differences:
    """Those that no use case tells the audit log of."""
    ends = ("created_by_user_id", "profile", "config", "claims")
    return {name: pair for name, pair in changes.items() if name in ends or ".override_" in name}
