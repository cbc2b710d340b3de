"""What of an entity's JSON is its configuration: what an entity tag stands for, and what the audit log tells of."""

import hashlib
from typing import Any

import msgspec

from service.governance.tree.template import Template

# Live numbers, and what has a life of its own.
_LIVE = frozenset(
    {
        *("current_usage", "last_reset", "token_current_usage", "token_last_reset"),
        *("request_current_usage", "request_last_reset", "override_cycles_remaining"),
        *("teams", "virtual_keys", "virtual_key_count", "team", "customer", "budget"),
    }
)
_SECRET = frozenset({"value"})
_STAMPS = frozenset({"created_at", "updated_at"})
# What a client put there, under names of its own.
_FREE = frozenset({"metadata", "profile", "config", "claims", "query"})
_ETAG_BYTES = 16

Configuration = dict[str, Any]


def configuration_of(template: Template) -> Configuration:
    """The entity without usage, stamps and secrets."""
    return cleaned(_document(template))


def etag_of(template: Template) -> str:
    """A strong entity tag of the configuration: the same before and after usage, another after any edit."""
    return _tag(_document(template))


def tag_json(body: bytes) -> str:
    """The entity tag of an entity's JSON, as `etag_of`."""
    return _tag(msgspec.json.decode(body))


def cleaned(document: Configuration) -> Configuration:
    """An entity that is not made from a template, without usage, stamps and secrets."""
    configuration: Configuration = _without(_LIVE | _SECRET | _STAMPS, document)
    return configuration


def differences(before: Configuration | None, after: Configuration | None) -> dict[str, list[Any]]:
    """Field by field `[before, after]`; null for a field that is not there."""
    before, after = before or {}, after or {}
    names = [*before, *(name for name in after if name not in before)]
    return {name: [before.get(name), after.get(name)] for name in names if before.get(name) != after.get(name)}


def _tag(document: Any) -> str:
    if not isinstance(document, dict):
        return ""
    stamp = {"updated_at": document.get("updated_at")}
    digest = hashlib.blake2b(msgspec.json.encode(cleaned(document) | stamp, order="sorted"), digest_size=_ETAG_BYTES)
    return f'"{digest.hexdigest()}"'


def _document(template: Template) -> Configuration:
    document: Configuration = msgspec.json.decode(b"0".join(template.texts))
    return document


def _without(names: frozenset[str], value: Any) -> Any:
    if isinstance(value, dict):
        kept = ((name, item) for name, item in value.items() if name not in names)
        return {name: item if name in _FREE else _without(names, item) for name, item in kept}
    if isinstance(value, list):
        return [_without(names, item) for item in value]
    return value
