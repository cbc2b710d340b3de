"""Which secrets of an entity differ from the file's. A secret the file does not have stays, and differs in nothing."""

from typing import Any

from service.domain.config_file.entries import Entity
from service.governance.config_file.catalogue import KEY_CONFIGS, Stored


def differing_secrets(stored: Stored, entity: Entity) -> list[str]:
    """Names of fields, never what is in them."""
    if entity.kind == "virtual_key":
        return ["value"] if entity.value is not None and entity.value != stored.entity.value else []
    if entity.kind == "mcp_client":
        return _differing(stored, entity, ("connection_string",))
    if entity.kind == "provider_key":
        return _differing(stored, entity, ("value", *KEY_CONFIGS))
    return []


def _differing(stored: Stored, entity: Entity, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if not _same(name, getattr(entity.entry, name), stored)]


def _same(name: str, wanted: Any, stored: Stored) -> bool:
    """As it is with its secrets, or without them: so a file is written that must not hold any."""
    if wanted is None and name not in KEY_CONFIGS:
        return True
    return wanted in (getattr(stored.entity.entry, name), getattr(stored.open, name))
