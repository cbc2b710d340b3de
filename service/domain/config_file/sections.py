"""Where in a file the entries of each kind stand, and what of it has no place here."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from service.domain.config_file.entries import (
    BudgetEntry,
    CustomerEntry,
    Entry,
    McpClientEntry,
    ModelConfigEntry,
    PricingOverrideEntry,
    ProviderEntry,
    ProviderKeyEntry,
    RateLimitEntry,
    TeamEntry,
    VirtualKeyEntry,
)
from service.domain.config_file.findings import Findings
from service.domain.documents import converted, shown_name, unknown_fields
from service.domain.refusals import RefusedError

# By the kind of its entries: the section of `governance`, and their type.
GOVERNANCE_SECTIONS: dict[str, tuple[str, type[Entry]]] = {
    "budget": ("budgets", BudgetEntry),
    "rate_limit": ("rate_limits", RateLimitEntry),
    "customer": ("customers", CustomerEntry),
    "team": ("teams", TeamEntry),
    "virtual_key": ("virtual_keys", VirtualKeyEntry),
    "model_config": ("model_configs", ModelConfigEntry),
    "provider": ("providers", ProviderEntry),
    "pricing_override": ("pricing_overrides", PricingOverrideEntry),
}
_TYPES = {kind: entry_type for kind, (_, entry_type) in GOVERNANCE_SECTIONS.items()} | {
    "provider_key": ProviderKeyEntry,
    "mcp_client": McpClientEntry,
}
_TOP_LEVEL = ("$schema", "version", "source_of_truth", "providers", "mcp", "governance")
_NESTED = ("provider_configs", "mcp_configs", "reset_config")


class PlacedEntry(msgspec.Struct, frozen=True):
    """An entry and where it stands."""

    path: str
    entry: Any


Raw = tuple[str, Any]
Sections = dict[str, list[PlacedEntry]]


class Read(msgspec.Struct, frozen=True):
    """`sections` has the kinds whose sections are there; `unlisted_providers` have none for their keys."""

    sections: Sections
    source_of_truth: bool
    unlisted_providers: frozenset[str] = frozenset()


def read_sections(content: bytes, findings: Findings) -> Read:
    """Every entry in its type; those that are not of it are faults and left out."""
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The decoder's words may quote the file.
        findings.refuse("$", "is not a JSON document")
        document = {}
    document = _object(document, "$", findings)
    _warn_of_others(document, _TOP_LEVEL, "$", findings)
    _check_version(document, findings)
    raw = _raw_entries(document, findings)
    sections = {kind: list(_entries(kind, entries, findings)) for kind, entries in raw.items()}
    providers = _object(document.get("providers"), "$.providers", findings)
    unlisted = (name for name, provider in providers.items() if isinstance(provider, dict) and "keys" not in provider)
    return Read(sections, document.get("source_of_truth") == "config.json", frozenset(unlisted))


def _check_version(document: Mapping[str, Any], findings: Findings) -> None:
    if document.get("source_of_truth") not in (None, "split", "config.json"):
        findings.refuse("$.source_of_truth", "must be 'split' or 'config.json'")
    if document.get("version") not in (None, 2):
        findings.refuse("$.version", 'must be 2: empty lists allow nothing, and ["*"] allows everything')


def _raw_entries(document: Mapping[str, Any], findings: Findings) -> dict[str, list[Raw]]:
    governance = _object(document.get("governance"), "$.governance", findings)
    sections = {name: kind for kind, (name, _) in GOVERNANCE_SECTIONS.items()}
    _warn_of_others(governance, sections, "$.governance", findings)
    raw = {
        kind: _list(governance[name], f"$.governance.{name}", findings)
        for name, kind in sections.items()
        if governance.get(name) is not None
    }
    if document.get("providers") is not None:
        raw["provider_key"] = list(_raw_provider_keys(document["providers"], findings))
    mcp = _object(document.get("mcp"), "$.mcp", findings)
    _warn_of_others(mcp, ("client_configs",), "$.mcp", findings)
    if mcp.get("client_configs") is not None:
        raw["mcp_client"] = _list(mcp["client_configs"], "$.mcp.client_configs", findings)
    return raw


def _raw_provider_keys(providers: Any, findings: Findings) -> Iterator[Raw]:
    """Each key with its provider's name, as an entry has it."""
    for name, provider in _object(providers, "$.providers", findings).items():
        path = f"$.providers.{shown_name(name)}"
        fields = _object(provider, path, findings)
        _warn_of_others(fields, ("keys",), path, findings)
        keys = [] if fields.get("keys") is None else fields["keys"]
        for key_path, key in _list(keys, f"{path}.keys", findings):
            yield key_path, {**key, "provider": name} if isinstance(key, dict) else key


def _entries(kind: str, raw: list[Raw], findings: Findings) -> Iterator[PlacedEntry]:
    entry_type = _TYPES[kind]
    for path, written in raw:
        document = _without_nulls(written)
        try:
            entry = converted(document, entry_type, path)
        except RefusedError as error:
            findings.refuse_as(error, path)
            continue
        for warning in unknown_fields(document, entry_type, path):
            findings.warn(warning.path, warning.message + warning.suggestion)
        yield PlacedEntry(path, entry)


def _without_nulls(document: Any) -> Any:
    """Null is as good as left out; what is in a client's own documents is left alone."""
    if not isinstance(document, dict):
        return document
    set_fields = {name: value for name, value in document.items() if value is not None}
    for name in _NESTED:
        value = set_fields.get(name)
        if isinstance(value, list):
            set_fields[name] = [_without_nulls(item) for item in value]
        elif isinstance(value, dict):
            set_fields[name] = _without_nulls(value)
    return set_fields


def _warn_of_others(document: Mapping[str, Any], known: Collection[str], path: str, findings: Findings) -> None:
    for name, value in document.items():
        if name in known:
            continue
        shown = shown_name(name)
        near = difflib.get_close_matches(shown, known, n=1)
        suggestion = f"; did you mean '{near[0]}'?" if near else ""
        findings.warn(f"{path}.{shown}", f"is no part of this service: left out ({_size(value)}){suggestion}")


def _size(value: Any) -> str:
    number = len(value) if isinstance(value, list | dict) else 1
    return "1 entry" if number == 1 else f"{number} entries"


def _object(value: Any, path: str, findings: Findings) -> dict[str, Any]:
    """Null is an empty one."""
    if value is None or isinstance(value, dict):
        return value or {}
    findings.refuse(path, "must be an object")
    return {}


def _list(value: Any, path: str, findings: Findings) -> list[Raw]:
    """The items of a list, each with its path."""
    if isinstance(value, list):
        return [(f"{path}[{number}]", item) for number, item in enumerate(value)]
    findings.refuse(path, "must be a list")
    return []
