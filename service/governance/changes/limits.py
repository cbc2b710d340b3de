"""Write the budgets and the rate limit of one owner as they were asked for; what stays keeps its usage."""

from collections.abc import Sequence

from msgspec import UNSET

from service.domain.inputs.identified import IdentifiedBudget, IdentifiedRateLimit
from service.domain.inputs.limits import (
    DEFAULT_ALERT_THRESHOLDS,
    BudgetInput,
    LimitsInput,
    RateLimitInput,
    ResetConfigInput,
    SingleBudgetInput,
    check_budget,
)
from service.domain.money import nanousd_to_usd
from service.domain.refusals import invalid
from service.governance.changes.change import Change, new_id
from service.governance.changes.given import kept
from service.store.limits import (
    BudgetColumns,
    LimitOwner,
    RateLimitColumns,
    StoredBudget,
    delete_budgets,
    delete_rate_limits,
    insert_budget,
    insert_rate_limit,
    list_owner_budgets,
    list_owner_rate_limits,
    update_budget,
    update_rate_limit,
)


async def write_limits(change: Change, owner: LimitOwner, given: LimitsInput, *, path: str = "$") -> None:
    """What `given` leaves out stays. Raises RefusedError for a budget that cannot be matched."""
    if isinstance(given.budgets, list):
        stored = await list_owner_budgets(change.connection, owner)
        await _write_budgets(change, owner, stored, given.budgets, path=f"{path}.budgets")
    elif isinstance(given.budget, SingleBudgetInput):
        stored = await list_owner_budgets(change.connection, owner)
        wanted = _as_list(given.budget, stored, f"{path}.budget")
        await _write_budgets(change, owner, stored, wanted, path=f"{path}.budgets")
    if isinstance(given.rate_limit, RateLimitInput):
        await _write_rate_limit(change, owner, given.rate_limit)


async def _write_budgets(
    change: Change, owner: LimitOwner, stored: Sequence[StoredBudget], wanted: Sequence[BudgetInput], *, path: str
) -> None:
    matched = _match(stored, wanted, path)
    kept_ids = {budget.id for budget in matched if budget is not None}
    await delete_budgets(change.connection, [budget.id for budget in stored if budget.id not in kept_ids])
    for position, (budget, match) in enumerate(zip(wanted, matched, strict=True)):
        columns = BudgetColumns(
            position=position,
            max_limit_nanousd=budget.max_limit_nanousd,
            reset_duration=budget.reset_duration,
            quarter_start_month=_quarter_start_month(budget, match),
            alert_thresholds=_alert_thresholds(budget, match),
            shadow=kept(budget.shadow, match is not None and match.shadow),
        )
        if match is None:
            budget_id = new_id() if budget.id is UNSET else budget.id
            await insert_budget(change.connection, owner, columns, budget_id=budget_id, now=change.now)
        else:
            await update_budget(change.connection, match.id, columns)


def _match(stored: Sequence[StoredBudget], wanted: Sequence[BudgetInput], path: str) -> list[StoredBudget | None]:
    """For each wanted budget the stored one it means: by id, else by reset_duration among those no id names."""
    by_id = {budget.id: budget for budget in stored}
    named = {budget.id for budget in wanted if budget.id is not UNSET}
    by_duration = {budget.reset_duration: budget for budget in stored if budget.id not in named}
    matched: list[StoredBudget | None] = []
    for number, budget in enumerate(wanted):
        if budget.id is UNSET:
            matched.append(by_duration.get(budget.reset_duration))
        elif budget.id in by_id or isinstance(budget, IdentifiedBudget):
            matched.append(by_id.get(budget.id))
        else:
            raise invalid(f"{path}[{number}].id", "the owner has no budget with this id")
    return matched


def _quarter_start_month(budget: BudgetInput, match: StoredBudget | None) -> int | None:
    """Left out, it stays, as long as the budget is still quarterly."""
    if budget.reset_config is not UNSET or match is None or not budget.reset_duration.endswith(("Q", "quarterly")):
        return budget.quarter_start_month
    return match.quarter_start_month


def _alert_thresholds(budget: BudgetInput, match: StoredBudget | None) -> list[int]:
    return kept(budget.alert_thresholds, list(DEFAULT_ALERT_THRESHOLDS) if match is None else match.alert_thresholds)


def _as_list(single: SingleBudgetInput, stored: Sequence[StoredBudget], path: str) -> list[BudgetInput]:
    """The full list the older form means."""
    if len(stored) > 1:
        raise invalid(path, "there are several budgets: use 'budgets'")
    before = stored[0] if stored else None
    if before is not None and single.is_empty:
        return []
    max_limit, reset_duration = single.max_limit, single.reset_duration
    if before is not None:
        max_limit = nanousd_to_usd(before.max_limit_nanousd) if max_limit is UNSET else max_limit
        reset_duration = before.reset_duration if reset_duration is UNSET else reset_duration
    if max_limit is UNSET or reset_duration is UNSET:
        raise invalid(path, "both max_limit and reset_duration are required when creating a new budget")
    budget = BudgetInput(
        id=UNSET if before is None else before.id,
        max_limit=max_limit,
        reset_duration=reset_duration,
        reset_config=single.reset_config if isinstance(single.reset_config, ResetConfigInput) else UNSET,
        alert_thresholds=single.alert_thresholds,
        shadow=single.shadow,
    )
    check_budget(budget, path)
    return [budget]


async def _write_rate_limit(change: Change, owner: LimitOwner, wanted: RateLimitInput) -> None:
    stored = [limit for limit in await list_owner_rate_limits(change.connection, owner) if limit.metric is None]
    if wanted.is_empty:
        await delete_rate_limits(change.connection, [limit.id for limit in stored])
        return
    columns = RateLimitColumns(
        token_max_limit=wanted.token_max_limit,
        token_reset_duration=wanted.duration_of("token"),
        request_max_limit=wanted.request_max_limit,
        request_reset_duration=wanted.duration_of("request"),
        shadow=kept(wanted.shadow, bool(stored) and stored[0].shadow),
    )
    rate_limit_id = wanted.id if isinstance(wanted, IdentifiedRateLimit) else stored[0].id if stored else new_id()
    others = [limit.id for limit in stored if limit.id != rate_limit_id]
    await delete_rate_limits(change.connection, others)
    if len(others) < len(stored):
        await update_rate_limit(change.connection, rate_limit_id, columns)
    else:
        await insert_rate_limit(change.connection, owner, columns, rate_limit_id=rate_limit_id, now=change.now)
