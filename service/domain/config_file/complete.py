"""What an entity becomes: as the file has it, with what the file leaves as it is stored."""

from collections.abc import Iterable

import msgspec

from service.domain.config_file.entries import BudgetEntry, Entity, OwnedLimits, RateLimitEntry
from service.domain.config_file.read import ConfigFile
from service.domain.durations import parse_reset_duration

_OVERRIDE_FIELDS = ("override_mode", "override_amount", "override_cycles_total", "override_anchor_reset")


def completed(entity: Entity, stored: Entity, file: ConfigFile) -> Entity:
    """`entity` with limits that are in no section of the file, and those only the database has when that is split.

    A budget's override and the user who made a key stay, unless the file says them.
    """
    parts = dict.fromkeys((*entity.limits, *(part for part in stored.limits if _has(entity, part))))
    limits = {part: _completed(entity.limits_of(part), stored.limits_of(part), file) for part in parts}
    entry = entity.entry
    if getattr(entry, "created_by_user_id", "") is None:
        entry = msgspec.structs.replace(entry, created_by_user_id=stored.entry.created_by_user_id)
    return msgspec.structs.replace(entity, entry=entry, limits={part: own for part, own in limits.items() if _any(own)})


def _has(entity: Entity, part: str) -> bool:
    return not part or any(config.provider == part for config in entity.entry.provider_configs)


def _any(limits: OwnedLimits) -> bool:
    return bool(limits.budgets or limits.rate_limits)


def _completed(wanted: OwnedLimits, stored: OwnedLimits, file: ConfigFile) -> OwnedLimits:
    budgets = _overridden(wanted.budgets, stored.budgets)
    if "budget" not in file.limit_ids:
        budgets = stored.budgets
    elif not file.is_authoritative:
        budgets = [*budgets, *_other_budgets(budgets, stored.budgets, file.limit_ids["budget"])]
    rate_limits = wanted.rate_limits
    if "rate_limit" not in file.limit_ids:
        rate_limits = stored.rate_limits
    elif not file.is_authoritative:
        rate_limits = [*rate_limits, *_other_rate_limits(rate_limits, stored.rate_limits, file.limit_ids["rate_limit"])]
    return OwnedLimits(budgets=budgets, rate_limits=rate_limits)


def _overridden(wanted: Iterable[BudgetEntry], stored: Iterable[BudgetEntry]) -> list[BudgetEntry]:
    by_id = {budget.id: budget for budget in stored}
    return [
        budget
        if budget.override_mode is not None or budget.id not in by_id
        else msgspec.structs.replace(budget, **{name: getattr(by_id[budget.id], name) for name in _OVERRIDE_FIELDS})
        for budget in wanted
    ]


def _other_budgets(
    wanted: Iterable[BudgetEntry], stored: Iterable[BudgetEntry], in_file: frozenset[str]
) -> list[BudgetEntry]:
    """Those only the database has; one of a period the file has a budget for makes way for it."""
    periods = {budget.reset_duration for budget in wanted}
    return [budget for budget in stored if budget.id not in in_file and budget.reset_duration not in periods]


def _other_rate_limits(
    wanted: list[RateLimitEntry], stored: Iterable[RateLimitEntry], in_file: frozenset[str]
) -> list[RateLimitEntry]:
    """As `_other_budgets`; of rate limits that are no rules of one metric an owner has one."""
    if any(rate_limit.metric is None for rate_limit in wanted):
        return []
    rules = {_rule_key(rate_limit) for rate_limit in wanted}
    others = [rate_limit for rate_limit in stored if rate_limit.id not in in_file]
    return [other for other in others if not wanted or (other.metric is not None and _rule_key(other) not in rules)]


def _rule_key(rate_limit: RateLimitEntry) -> tuple[object, ...]:
    duration = rate_limit.token_reset_duration or rate_limit.request_reset_duration or ""
    return rate_limit.metric, parse_reset_duration(duration)
