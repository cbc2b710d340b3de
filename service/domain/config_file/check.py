"""The rules between the entries of a file, and those of each entry that its type does not say."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from service.domain.config_file.entries import ITSELF, Entity, ModelConfigEntry, RateLimitEntry
from service.domain.config_file.findings import Findings
from service.domain.config_file.inputs import budget_input, creation, rate_limit_input
from service.domain.config_file.paths import path_in_file
from service.domain.config_file.sections import PlacedEntry, Sections
from service.domain.inputs.limits import check_budget, check_limits, check_rate_limit
from service.domain.inputs.mcp_clients import check_connection, check_mcp_client
from service.domain.inputs.model_configs import check_model_config, check_provider_name
from service.domain.inputs.pricing import SCOPE_IDS, check_pattern, check_request_types, check_scope, checked_patch
from service.domain.inputs.provider_keys import check_provider_key
from service.domain.inputs.virtual_keys import check_virtual_key
from service.domain.refusals import RefusedError, invalid

Identity = Callable[[Any], Any]


def check_sections(sections: Sections, findings: Findings) -> None:
    """What can be said before limits have their owners: no id, name or scope twice, limits that can be."""
    for kind, field, identity in _IDENTITIES:
        _check_once(sections.get(kind, []), field, identity, findings)
    _check_provider_limits(sections, findings)
    for kind, check in _ENTRY_CHECKS.items():
        for placed in sections.get(kind, []):
            try:
                check(placed)
            except RefusedError as error:
                findings.refuse_as(error, placed.path)


def check_entities(entities: Iterable[Entity], limit_paths: dict[str, str], findings: Findings) -> None:
    """Each entity by the rules its use case holds it to; `limit_paths` are those of all limits, by `limit_key`."""
    for entity in entities:
        try:
            _check_rate_limits(entity)
            _CHECKS[entity.kind](creation(entity))
        except RefusedError as error:
            findings.refuse(path_in_file(error.path, entity, limit_paths), error.message)


def _scope(entry: ModelConfigEntry) -> tuple[str, ...]:
    return entry.scope, entry.scope_id if entry.scope == "virtual_key" else "", entry.model_name, entry.provider


_IDENTITIES: tuple[tuple[str, str, Identity], ...] = (
    ("budget", "id", lambda entry: entry.id),
    ("rate_limit", "id", lambda entry: entry.id),
    ("customer", "id", lambda entry: entry.id),
    ("customer", "name", lambda entry: entry.name),
    ("team", "id", lambda entry: entry.id),
    ("team", "name", lambda entry: entry.name),
    ("virtual_key", "id", lambda entry: entry.id),
    ("virtual_key", "name", lambda entry: entry.name),
    ("virtual_key", "value", lambda entry: entry.value),
    ("model_config", "id", lambda entry: entry.id),
    ("model_config", "model_name", _scope),
    ("provider", "name", lambda entry: entry.name),
    ("provider_key", "id", lambda entry: entry.id),
    ("provider_key", "name", lambda entry: entry.name),
    ("mcp_client", "name", lambda entry: entry.name),
    ("pricing_override", "id", lambda entry: entry.id),
)


def _check_once(entries: Iterable[PlacedEntry], field: str, identity: Identity, findings: Findings) -> None:
    first: defaultdict[Any, str] = defaultdict(str)
    for placed in entries:
        value = identity(placed.entry)
        if value is None:
            continue
        if value in first:
            findings.refuse(f"{placed.path}.{field}", f"is the same as that of {first[value]}")
        else:
            first[value] = placed.path


def _check_provider_limits(sections: Sections, findings: Findings) -> None:
    """The limits of a provider are a model config too: one of them says what they are."""
    providers = {placed.entry.name: placed.path for placed in sections.get("provider", [])}
    for placed in sections.get("model_config", []):
        entry: ModelConfigEntry = placed.entry
        if entry.scope == "global" and entry.model_name == "*" and entry.provider in providers:
            findings.refuse(f"{placed.path}.provider", f"has its limits in {providers[entry.provider]} already")


def _check_budget(placed: PlacedEntry) -> None:
    entry = placed.entry
    check_budget(budget_input(entry), placed.path)
    parts = (entry.override_amount, entry.override_cycles_total, entry.override_anchor_reset)
    if entry.override_mode == "cycles" and None in parts:
        raise invalid(
            f"{placed.path}.override_mode",
            "'cycles' needs override_amount, override_cycles_total and override_anchor_reset",
        )
    if entry.override_mode == "forever" and (parts[0] is None or parts[1] is not None):
        raise invalid(f"{placed.path}.override_mode", "'forever' needs override_amount, and has no cycles")
    if entry.override_mode is None and parts != (None, None, None):
        raise invalid(placed.path, "an override needs its override_mode")


def _check_rate_limit(placed: PlacedEntry) -> None:
    entry: RateLimitEntry = placed.entry
    given = rate_limit_input(entry)
    if given.is_empty:
        raise invalid(placed.path, "limits neither tokens nor requests")
    check_rate_limit(given, placed.path)
    other = {"tokens": entry.request_max_limit, "requests": entry.token_max_limit}.get(entry.metric or "")
    own = {"tokens": entry.token_max_limit, "requests": entry.request_max_limit}.get(entry.metric or "", 1)
    if other is not None or own is None:
        raise invalid(f"{placed.path}.metric", f"a rate limit of {entry.metric} limits these and nothing else")


def _check_rate_limit_names(placed: PlacedEntry) -> None:
    if placed.entry.rate_limit_id is not None and placed.entry.rate_limit_ids:
        raise invalid(f"{placed.path}.rate_limit_ids", "only one of rate_limit_id or rate_limit_ids may be set")


# Of one entry by itself.
_ENTRY_CHECKS: dict[str, Callable[[PlacedEntry], None]] = {
    "budget": _check_budget,
    "rate_limit": _check_rate_limit,
    "model_config": _check_rate_limit_names,
    "provider": lambda placed: check_provider_name(placed.entry.name, f"{placed.path}.name"),
}


def _check_rate_limits(entity: Entity) -> None:
    for part, limits in entity.limits.items():
        rules = [rate_limit for rate_limit in limits.rate_limits if rate_limit.metric is not None]
        where = "$" if part == ITSELF else "$.provider_configs"
        if rules and entity.kind != "model_config":
            raise invalid(
                where, f"rate limit '{rules[0].id}' has a metric: only model configs have rules of one metric"
            )


def _check_model_config(given: Any) -> None:
    check_model_config(given)
    if given.scope == "virtual_key" and not given.scope_id:
        raise invalid("$.scope_id", "scope_id is required for scope 'virtual_key'")


def _check_mcp_client(given: Any) -> None:
    check_mcp_client(given)
    check_connection(given.connection_type, given.connection_string or "")


def _check_pricing_override(given: Any) -> None:
    check_scope(given.scope_kind, {name: getattr(given, name) or None for name in SCOPE_IDS})
    check_pattern(given.match_type, given.pattern)
    check_request_types(given.request_types)
    checked_patch(given.patch)


_CHECKS: dict[str, Callable[[Any], None]] = {
    "customer": check_limits,
    "team": check_limits,
    "virtual_key": check_virtual_key,
    "model_config": _check_model_config,
    "provider": check_limits,
    "provider_key": check_provider_key,
    "mcp_client": _check_mcp_client,
    "pricing_override": _check_pricing_override,
}
