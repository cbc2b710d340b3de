"""Read a whole file: every fault of it at once, or entities that can be imported."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from service.domain.config_file.check import check_entities, check_sections
from service.domain.config_file.entries import Entity, Kind, OwnedLimits
from service.domain.config_file.findings import Finding, Findings
from service.domain.config_file.own import entity_id, owned_limits, without_limits
from service.domain.config_file.paths import limit_key
from service.domain.config_file.references import Reference, outside_references
from service.domain.config_file.sections import PlacedEntry, Read, Sections, read_sections

Mode = Literal["split", "source-of-truth"]
LARGEST_FILE_BYTES = 256 * 1024 * 1024

# In the order in which each finds those it names; they go in the opposite order.
KINDS: tuple[Kind, ...] = (
    "provider_key",
    "mcp_client",
    "customer",
    "team",
    "virtual_key",
    "model_config",
    "provider",
    "pricing_override",
)
_VARIABLE = re.compile(r"env\.(?P<name>[A-Za-z_][A-Za-z0-9_]{0,250})")
_VALUE = re.compile(r"[\x21-\x7e]{8,255}")


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file without a fault of its own. `outside` is still to be found in the database.

    `entities` has the kinds whose sections are there, `limit_ids` those of limits: by kind, of all there are in it. The
    keys of `unlisted_providers` are not in the file, although there is a section of provider keys.
    """

    mode: Mode
    entities: dict[Kind, list[Entity]]
    limit_ids: dict[str, frozenset[str]]
    unlisted_providers: frozenset[str]
    outside: list[Reference]
    warnings: list[Finding]

    @property
    def is_authoritative(self) -> bool:
        return self.mode == "source-of-truth"


def read_config_file(content: bytes, *, environment: Mapping[str, str], mode: Mode | None = None) -> ConfigFile:
    """`mode` goes before what the file says of it. Raises FaultyFileError with every fault that was found."""
    findings = Findings()
    if len(content) > LARGEST_FILE_BYTES:
        findings.refuse("$", f"is larger than {LARGEST_FILE_BYTES // 1024 // 1024} MiB")
        findings.stop_at_faults()
    read = read_sections(content, findings)
    # What a faulty entry would have been named by is not to be missed elsewhere.
    findings.stop_at_faults()
    check_sections(read.sections, findings)
    mode = mode or ("source-of-truth" if read.source_of_truth else "split")
    file = _with_owners(read, mode, environment=environment, findings=findings)
    findings.stop_at_faults()
    return file


def _with_owners(read: Read, mode: Mode, *, environment: Mapping[str, str], findings: Findings) -> ConfigFile:
    sections = read.sections
    entities = _entities(sections, environment, findings)
    limit_kinds = [kind for kind in ("budget", "rate_limit") if kind in sections]
    paths = {limit_key(kind, placed.entry.id): placed.path for kind in limit_kinds for placed in sections[kind]}
    whole = [entity for of_kind in entities.values() for entity in of_kind]
    check_entities(whole, paths, findings)
    authoritative = set(sections) if mode == "source-of-truth" else set()
    if read.unlisted_providers:
        authoritative.discard("provider_key")
    outside = outside_references(whole, sections, findings, authoritative=authoritative)
    return ConfigFile(
        mode=mode,
        entities=entities,
        limit_ids={kind: frozenset(placed.entry.id for placed in sections[kind]) for kind in limit_kinds},
        unlisted_providers=read.unlisted_providers,
        outside=outside,
        warnings=findings.warnings,
    )


def _entities(sections: Sections, environment: Mapping[str, str], findings: Findings) -> dict[Kind, list[Entity]]:
    limits: defaultdict[tuple[str, str], dict[str, OwnedLimits]] = defaultdict(dict)
    for (owner_kind, owner_id, part), owned in owned_limits(sections, findings).items():
        limits[owner_kind, owner_id][part] = owned
    return {
        kind: [
            Entity(
                kind=kind,
                id=entity_id(kind, placed.entry),
                path=placed.path,
                entry=_normal(kind, without_limits(placed.entry), placed.path, findings),
                limits=limits[kind, entity_id(kind, placed.entry)],
                value=_value(placed, environment, findings) if kind == "virtual_key" else None,
            )
            for placed in sections[kind]
        ]
        for kind in KINDS
        if kind in sections
    }


def _value(placed: PlacedEntry, environment: Mapping[str, str], findings: Findings) -> str | None:
    """A virtual key's value itself; None when the file has none."""
    text: str | None = placed.entry.value
    if text is None:
        return None
    path = f"{placed.path}.value"
    if variable := _VARIABLE.fullmatch(text):
        if variable["name"] not in environment:
            findings.refuse(path, f"the environment variable {variable['name']} is not set")
            return None
        text = environment[variable["name"]]
        path += f" (the environment variable {variable['name']})"
    if not _VALUE.fullmatch(text):
        findings.refuse(path, "must be 8 to 255 visible ASCII characters")
    return text


def _normal(kind: Kind, entry: Any, path: str, findings: Findings) -> Any:
    """With the newer name of what has two."""
    if kind == "mcp_client" and entry.allow_on_all_virtual_keys:
        return msgspec.structs.replace(entry, allow_by_default=True, allow_on_all_virtual_keys=False)
    if kind == "pricing_override":
        return _with_patch(entry, path, findings)
    return entry


def _with_patch(entry: Any, path: str, findings: Findings) -> Any:
    patch = entry.patch
    if entry.pricing_patch is not None:
        try:
            patch = msgspec.json.decode(entry.pricing_patch, type=dict[str, float | None])
        except msgspec.DecodeError:
            findings.refuse(f"{path}.pricing_patch", "is no JSON object of prices")
    set_prices = {name: price for name, price in sorted(patch.items()) if price is not None}
    return msgspec.structs.replace(entry, patch=set_prices, pricing_patch=None)


def all_entities(file: ConfigFile) -> Iterator[Entity]:
    for of_kind in file.entities.values():
        yield from of_kind
