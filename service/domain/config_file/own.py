"""Give every budget and rate limit of a file to its owner: the one it names, or the one that names it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from service.domain.config_file.entries import (
    ITSELF,
    BudgetEntry,
    Kind,
    OwnedLimits,
    RateLimitEntry,
    VirtualKeyEntry,
)
from service.domain.config_file.findings import Findings
from service.domain.config_file.sections import PlacedEntry, Sections

# An entity's kind and id, and which part of it.
Owner = tuple[str, str, str]
_OWNED_KINDS: tuple[Kind, ...] = ("customer", "team", "virtual_key", "model_config", "provider")
# The column of a budget that names its owner, but for a provider config's.
_OWNER_FIELDS = {
    "customer_id": "customer",
    "team_id": "team",
    "virtual_key_id": "virtual_key",
    "model_config_id": "model_config",
}
_NO_OWNER: dict[str, Any] = dict.fromkeys(_OWNER_FIELDS, "") | {"provider_config_id": None}
_NO_LIMITS: dict[str, Any] = {"budget_id": None, "budget_ids": [], "rate_limit_id": None}


class _Claim(msgspec.Struct, frozen=True):
    """That a limit belongs to an owner, and where the file says so."""

    limit_id: str
    owner: Owner
    path: str


def owned_limits(sections: Sections, findings: Findings) -> dict[Owner, OwnedLimits]:
    """Limits by their owners, without the names of these. Limits of nobody are warned of, those of two are faults."""
    owners = list(_owners(sections))
    budgets = _by_owner("budget", sections, [*_named_budgets(owners), *_naming(sections, findings)], findings)
    rate_limits = _by_owner("rate_limit", sections, list(_named_rate_limits(owners)), findings)
    rules = {owner for owner, _, entry in owners if getattr(entry, "rate_limit_ids", [])}
    limits: dict[Owner, OwnedLimits] = {}
    for owner in {**budgets, **rate_limits}:
        limits[owner] = OwnedLimits(
            budgets=[msgspec.structs.replace(placed.entry, **_NO_OWNER) for placed in budgets.get(owner, [])],
            rate_limits=[
                _rule(placed, findings) if owner in rules else _paired(placed) for placed in rate_limits.get(owner, [])
            ],
        )
    return limits


def without_limits(entry: Any) -> Any:
    """The entry without the names of its limits."""
    fields = _NO_LIMITS | ({"rate_limit_ids": []} if hasattr(entry, "rate_limit_ids") else {})
    if isinstance(entry, VirtualKeyEntry):
        fields["provider_configs"] = [msgspec.structs.replace(c, **_NO_LIMITS) for c in entry.provider_configs]
    return msgspec.structs.replace(entry, **fields) if hasattr(entry, "budget_ids") else entry


def entity_id(kind: str, entry: Any) -> str:
    """What an entry is known by."""
    if kind in ("mcp_client", "provider", "provider_key"):
        return str(entry.name)
    return str(entry.id)


def _owners(sections: Sections) -> Iterator[tuple[Owner, str, Any]]:
    """Every owner there is in the file, its path, and the entry that names its limits."""
    for kind in _OWNED_KINDS:
        for placed in sections.get(kind, []):
            entry, owner_id = placed.entry, entity_id(kind, placed.entry)
            yield (kind, owner_id, ITSELF), placed.path, entry
            for number, config in enumerate(getattr(entry, "provider_configs", [])):
                yield (kind, owner_id, config.provider), f"{placed.path}.provider_configs[{number}]", config


def _named_budgets(owners: list[tuple[Owner, str, Any]]) -> Iterator[_Claim]:
    for owner, path, entry in owners:
        if entry.budget_id is not None:
            yield _Claim(entry.budget_id, owner, f"{path}.budget_id")
        for number, budget_id in enumerate(entry.budget_ids):
            yield _Claim(budget_id, owner, f"{path}.budget_ids[{number}]")


def _named_rate_limits(owners: list[tuple[Owner, str, Any]]) -> Iterator[_Claim]:
    for owner, path, entry in owners:
        if entry.rate_limit_id is not None:
            yield _Claim(entry.rate_limit_id, owner, f"{path}.rate_limit_id")
        for number, rate_limit_id in enumerate(getattr(entry, "rate_limit_ids", [])):
            yield _Claim(rate_limit_id, owner, f"{path}.rate_limit_ids[{number}]")


def _naming(sections: Sections, findings: Findings) -> Iterator[_Claim]:
    """What budgets say themselves."""
    known = {owner for owner, _, _ in _owners(sections)}
    configs = _provider_configs(sections, findings)
    for placed in sections.get("budget", []):
        budget: BudgetEntry = placed.entry
        for field, kind in _OWNER_FIELDS.items():
            owner = (kind, getattr(budget, field), ITSELF)
            if owner in known:
                yield _Claim(budget.id, owner, f"{placed.path}.{field}")
            elif owner[1]:
                findings.refuse(f"{placed.path}.{field}", f"names no {kind.replace('_', ' ')} of this file")
        number = budget.provider_config_id
        if number in configs:
            yield _Claim(budget.id, configs[number], f"{placed.path}.provider_config_id")
        elif number is not None:
            findings.refuse(f"{placed.path}.provider_config_id", "names no provider config of this file")


def _provider_configs(sections: Sections, findings: Findings) -> dict[int | None, Owner]:
    """By the ids the file has for them."""
    configs: dict[int | None, Owner] = {}
    for owner, path, config in _owners(sections):
        if owner[2] == ITSELF or config.id is None:
            continue
        if config.id in configs:
            findings.refuse(f"{path}.id", "is the id of another provider config too")
        configs[config.id] = owner
    return configs


def _by_owner(
    kind: str, sections: Sections, claims: list[_Claim], findings: Findings
) -> Mapping[Owner, list[PlacedEntry]]:
    """The limits of each owner, in the order of their section."""
    claimed: dict[str, _Claim] = {}
    placed_by_id = {placed.entry.id: placed for placed in sections.get(kind, [])}
    for claim in claims:
        first = claimed.setdefault(claim.limit_id, claim)
        if claim.limit_id not in placed_by_id:
            findings.refuse(claim.path, f"names no {kind.replace('_', ' ')} of this file")
        elif first.owner != claim.owner:
            findings.refuse(claim.path, f"'{claim.limit_id}' has another owner already: {first.path}")
    owned: defaultdict[Owner, list[PlacedEntry]] = defaultdict(list)
    for limit_id, placed in placed_by_id.items():
        if limit_id in claimed:
            owned[claimed[limit_id].owner].append(placed)
        else:
            findings.warn(placed.path, "belongs to nobody, and limits nothing: left out")
    return owned


def _paired(placed: PlacedEntry) -> RateLimitEntry:
    """Without the duration of a maximum it has not."""
    rate_limit: RateLimitEntry = placed.entry
    alone = [name for name in ("token", "request") if getattr(rate_limit, f"{name}_max_limit") is None]
    return msgspec.structs.replace(rate_limit, **{f"{name}_reset_duration": None for name in alone})


def _rule(placed: PlacedEntry, findings: Findings) -> RateLimitEntry:
    """With the metric it is of."""
    rate_limit = _paired(placed)
    if rate_limit.token_max_limit is not None and rate_limit.request_max_limit is not None:
        findings.refuse(placed.path, "is one of rate_limit_ids: it limits tokens or requests, not both")
    metric = "requests" if rate_limit.token_max_limit is None else "tokens"
    return msgspec.structs.replace(rate_limit, metric=rate_limit.metric or metric)
