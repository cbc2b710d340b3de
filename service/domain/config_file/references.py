"""What entries of a file name that is no limit: owners, virtual keys, provider keys, MCP clients."""

from collections.abc import Collection, Iterator

import msgspec

from service.domain.config_file.entries import Entity, Kind
from service.domain.config_file.findings import Findings
from service.domain.config_file.sections import Sections
from service.domain.inputs.lists import EVERYTHING


class Reference(msgspec.Struct, frozen=True):
    """That something at `path` names an entity: by its id, a provider key or MCP client by its name too."""

    path: str
    kind: Kind
    name: str

    @property
    def fault(self) -> str:
        return f"names no {self.kind.replace('_', ' ')} there is"


def outside_references(
    entities: Collection[Entity], sections: Sections, findings: Findings, *, authoritative: Collection[str]
) -> list[Reference]:
    """Those to entities that are not in the file, to be looked for in the database.

    Of the `authoritative` kinds there will be none but the file's: a reference to another is a fault.
    """
    known = {(entity.kind, entity.id) for entity in entities}
    known |= {("provider_key", placed.entry.id) for placed in sections.get("provider_key", [])}
    outside: list[Reference] = []
    for entity in entities:
        for reference in _references(entity):
            if (reference.kind, reference.name) in known:
                continue
            if reference.kind in authoritative:
                findings.refuse(reference.path, reference.fault)
            else:
                outside.append(reference)
    return outside


def _references(entity: Entity) -> Iterator[Reference]:
    entry, path = entity.entry, entity.path
    named: dict[str, Kind] = {"customer_id": "customer", "team_id": "team", "virtual_key_id": "virtual_key"}
    if entity.kind == "model_config" and entry.scope == "virtual_key":
        yield Reference(f"{path}.scope_id", "virtual_key", entry.scope_id)
    for field, kind in named.items():
        if getattr(entry, field, ""):
            yield Reference(f"{path}.{field}", kind, getattr(entry, field))
    for number, config in enumerate(getattr(entry, "provider_configs", [])):
        for place, key_id in enumerate(config.key_ids):
            if key_id != EVERYTHING:
                yield Reference(f"{path}.provider_configs[{number}].key_ids[{place}]", "provider_key", key_id)
    for number, config in enumerate(getattr(entry, "mcp_configs", [])):
        yield Reference(f"{path}.mcp_configs[{number}].mcp_client_name", "mcp_client", config.mcp_client_name)
