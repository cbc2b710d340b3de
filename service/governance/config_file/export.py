"""Write the whole configuration as a file: read in pieces of one snapshot, in the order of creation."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from service.domain.config_file.entries import ITSELF, Entity, Entry, Kind, said
from service.domain.config_file.sections import GOVERNANCE_SECTIONS
from service.domain.sealing import Sealer
from service.governance.config_file.catalogue import Stored
from service.governance.config_file.stored import LOADS
from service.store.config_file import list_pieces
from service.store.postgres import Connection

Document = dict[str, Any]
# Limits of whole providers are among the model configs.
_OWNERS: tuple[Kind, ...] = ("customer", "team", "virtual_key", "model_config")
_FIRST = ("id", "name", "model_name", "provider")


class Exported(msgspec.Struct, frozen=True):
    """`left_out` says how many secrets of each kind of entity are not in the file."""

    content: bytes
    left_out: dict[str, int]


async def export_config(connection: Connection, sealer: Sealer, *, with_values: bool) -> Exported:
    """The same content for the same configuration."""
    exporter = _Exporter(connection, sealer, with_values=with_values)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        document = await exporter.document()
    content = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
    return Exported(content, exporter.left_out)


class _Exporter:
    def __init__(self, connection: Connection, sealer: Sealer, *, with_values: bool) -> None:
        self._connection = connection
        self._sealer = sealer
        self._with_values = with_values
        self.left_out: dict[str, int] = {}

    async def document(self) -> Document:
        limits: dict[str, list[Document]] = {"budgets": [], "rate_limits": []}
        owners = {
            GOVERNANCE_SECTIONS[kind][0]: [self._owner(stored, limits) async for stored in self._all(kind)]
            for kind in _OWNERS
        }
        overrides = [_written(stored.entity.entry) async for stored in self._all("pricing_override")]
        return {
            "providers": await self._providers(),
            "mcp": {"client_configs": [self._with_secrets(stored) async for stored in self._all("mcp_client")]},
            "governance": {**limits, **owners, "pricing_overrides": overrides},
        }

    async def _all(self, kind: Kind) -> AsyncIterator[Stored]:
        async for piece in list_pieces(self._connection, kind):
            loaded = await LOADS[kind](self._connection, [row.name or row.id for row in piece], self._sealer)
            for row in piece:
                yield loaded[row.name or row.id]

    async def _providers(self) -> dict[str, Document]:
        providers: dict[str, Document] = {}
        async for stored in self._all("provider_key"):
            key = self._with_secrets(stored)
            providers.setdefault(key.pop("provider"), {"keys": []})["keys"].append(key)
        return dict(sorted(providers.items()))

    def _with_secrets(self, stored: Stored) -> Document:
        if self._with_values:
            return _written(stored.entity.entry)
        if stored.open != stored.entity.entry:
            self._leave_out(stored.entity.kind)
        return _written(stored.open)

    def _owner(self, stored: Stored, limits: dict[str, list[Document]]) -> Document:
        """Its entry; its limits go to their own sections."""
        entity = stored.entity
        document = _written(entity.entry)
        if entity.kind == "virtual_key":
            if self._with_values and entity.value is not None:
                document["value"] = entity.value
            else:
                self._leave_out(entity.kind)
            for config in document.get("provider_configs", []):
                _add_config_limits(entity, config, limits)
        _add_limits(entity, ITSELF, document, limits=limits, owner={f"{entity.kind}_id": entity.id})
        return _in_order(document)

    def _leave_out(self, kind: str) -> None:
        self.left_out[kind] = self.left_out.get(kind, 0) + 1


def _add_limits(
    entity: Entity, part: str, document: Document, *, limits: dict[str, list[Document]], owner: Document
) -> None:
    owned = entity.limits_of(part)
    limits["budgets"] += [_written(budget) | owner for budget in owned.budgets]
    limits["rate_limits"] += [_written(rate_limit) for rate_limit in owned.rate_limits]
    ids = [rate_limit.id for rate_limit in owned.rate_limits]
    if any(rate_limit.metric for rate_limit in owned.rate_limits):
        document["rate_limit_ids"] = ids
    elif ids:
        document["rate_limit_id"] = ids[0]


def _add_config_limits(entity: Entity, config: Document, limits: dict[str, list[Document]]) -> None:
    """A provider config has its number in the database only when a budget calls it by that."""
    part, owner = config["provider"], {"provider_config_id": config["id"]}
    if not entity.limits_of(part).budgets:
        del config["id"]
    _add_limits(entity, part, config, limits=limits, owner=owner)


def _written(entry: Entry) -> Document:
    document: Document = said(entry)
    return _in_order(document)


def _in_order(document: Document) -> Document:
    """Who it is before what it is like."""
    return {name: document[name] for name in _FIRST if name in document} | document
