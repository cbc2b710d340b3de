"""Budgets and rate limits as a client asks for them."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.domain.durations import parse_reset_duration
from service.domain.inputs.fields import (
    AlertThresholds,
    Count,
    Duration,
    Id,
    LimitUsd,
    Parallel,
    RateLimitDuration,
    Shadow,
    TimeZone,
)
from service.domain.money import usd_to_nanousd
from service.domain.refusals import invalid

_MOST_BUDGETS = 50
# Of a new budget; the column has the same default.
DEFAULT_ALERT_THRESHOLDS = (50, 80, 100)


class ResetConfigInput(msgspec.Struct, frozen=True):
    quarter_start_month: Annotated[int, Meta(ge=1, le=12, description="the month fiscal quarters are counted from")]


class BudgetInput(msgspec.Struct, frozen=True, kw_only=True):
    """A budget as it should be. `id` names one that is there; without it `reset_duration` does.

    `reset_config`, `alert_thresholds` and `shadow` stay when they are left out.
    """

    max_limit: LimitUsd
    reset_duration: Duration
    id: Id | UnsetType = UNSET
    reset_config: ResetConfigInput | UnsetType | None = UNSET
    alert_thresholds: AlertThresholds | UnsetType | None = UNSET
    shadow: Shadow | UnsetType | None = UNSET
    calendar_aligned: Annotated[bool, Meta(description="deprecated: the owner's counts")] | UnsetType = UNSET

    @property
    def max_limit_nanousd(self) -> int:
        return usd_to_nanousd(self.max_limit)

    @property
    def quarter_start_month(self) -> int | None:
        return self.reset_config.quarter_start_month if isinstance(self.reset_config, ResetConfigInput) else None


class RateLimitInput(msgspec.Struct, frozen=True, kw_only=True):
    """A rate limit as it should be: a maximum with its duration, or both pairs; without any maximum it means none.

    `shadow` stays when it is left out.
    """

    token_max_limit: Count | None = None
    token_reset_duration: RateLimitDuration | None = None
    request_max_limit: Count | None = None
    request_reset_duration: RateLimitDuration | None = None
    shadow: Shadow | UnsetType | None = UNSET
    calendar_aligned: Annotated[bool, Meta(description="deprecated: the owner's counts")] | UnsetType = UNSET

    @property
    def is_empty(self) -> bool:
        return self.token_max_limit is None and self.request_max_limit is None

    def duration_of(self, metric: Literal["token", "request"]) -> str | None:
        """None without a maximum: a duration alone limits nothing."""
        if metric == "token":
            return None if self.token_max_limit is None else self.token_reset_duration
        return None if self.request_max_limit is None else self.request_reset_duration


class SingleBudgetInput(msgspec.Struct, frozen=True, kw_only=True):
    """The older form of a list of one: what is left out stays as it is, and nothing at all removes the budget."""

    max_limit: LimitUsd | UnsetType = UNSET
    reset_duration: Duration | UnsetType = UNSET
    reset_config: ResetConfigInput | UnsetType | None = UNSET
    alert_thresholds: AlertThresholds | UnsetType | None = UNSET
    shadow: Shadow | UnsetType | None = UNSET
    calendar_aligned: Annotated[bool, Meta(description="deprecated: the owner's counts")] | UnsetType = UNSET

    @property
    def is_empty(self) -> bool:
        fields = (self.max_limit, self.reset_duration, self.reset_config, self.alert_thresholds, self.shadow)
        return all(field is UNSET for field in fields)


class LimitsInput(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of any owner, full lists as they should be. Null is as good as left out."""

    budgets: Annotated[list[BudgetInput], Meta(max_length=_MOST_BUDGETS)] | UnsetType | None = UNSET
    budget: SingleBudgetInput | UnsetType | None = UNSET
    rate_limit: RateLimitInput | UnsetType | None = UNSET


class OwnerInput(LimitsInput, frozen=True, kw_only=True):
    """What customers, teams and virtual keys have in common."""

    calendar_aligned: bool | UnsetType | None = UNSET
    time_zone: TimeZone | UnsetType | None = UNSET
    max_parallel_requests: Parallel | UnsetType | None = UNSET


def check_limits(limits: LimitsInput, path: str = "$") -> None:
    """Hold limits to the rules their types do not say. Raises RefusedError."""
    if isinstance(limits.budget, SingleBudgetInput) and isinstance(limits.budgets, list):
        raise invalid(f"{path}.budget", "only one of 'budget' or 'budgets' may be set")
    if isinstance(limits.budgets, list):
        check_budgets(limits.budgets, f"{path}.budgets")
    if isinstance(limits.rate_limit, RateLimitInput):
        check_rate_limit(limits.rate_limit, f"{path}.rate_limit")


def check_budgets(budgets: Sequence[BudgetInput], path: str) -> None:
    """Raises RefusedError for a budget that cannot be, and for two of one period or id."""
    for number, budget in enumerate(budgets):
        check_budget(budget, f"{path}[{number}]")
        before = budgets[:number]
        if any(budget.reset_duration == other.reset_duration for other in before):
            raise invalid(f"{path}[{number}].reset_duration", "duplicate reset_duration in budgets")
        if budget.id is not UNSET and any(budget.id == other.id for other in before):
            raise invalid(f"{path}[{number}].id", "duplicate id in budgets")


def check_rate_limit(rate_limit: RateLimitInput, path: str) -> None:
    """Raises RefusedError for a maximum without a duration, for what is none, and for `shadow` without a maximum."""
    metrics: tuple[Literal["token", "request"], ...] = ("token", "request")
    for metric in metrics:
        duration, duration_path = getattr(rate_limit, f"{metric}_reset_duration"), f"{path}.{metric}_reset_duration"
        if duration:
            check_duration(duration, duration_path, quarters=False)
        elif getattr(rate_limit, f"{metric}_max_limit") is not None:
            raise invalid(duration_path, f"rate limit {metric} reset duration is required")
    if rate_limit.is_empty and isinstance(rate_limit.shadow, bool):
        # It would remove the rate limit, which is hardly what is meant.
        raise invalid(f"{path}.shadow", "needs a token_max_limit or a request_max_limit")


def check_duration(text: str, path: str, *, quarters: bool = True) -> None:
    """Raises RefusedError for what is no reset duration, or a quarter where none can be."""
    try:
        duration = parse_reset_duration(text)
    except ValueError as error:
        raise invalid(path, f"invalid reset duration (must be a positive duration): {error}") from error
    if duration.calendar_unit == "Q" and not quarters:
        raise invalid(path, "rate limits cannot be quarterly")


def check_budget(budget: BudgetInput, path: str) -> None:
    """Raises RefusedError for a budget that cannot be."""
    check_duration(budget.reset_duration, f"{path}.reset_duration")
    quarterly = parse_reset_duration(budget.reset_duration).calendar_unit == "Q"
    if budget.quarter_start_month is not None and not quarterly:
        raise invalid(f"{path}.reset_config", "only quarterly budgets (such as 1Q) have a quarter_start_month")
    check_alert_thresholds(budget.alert_thresholds, f"{path}.alert_thresholds")


def check_alert_thresholds(percents: Sequence[int] | UnsetType | None, path: str) -> None:
    """Raises RefusedError for a percent that is there twice."""
    for number, percent in enumerate(percents or ()):
        if percent in (percents or ())[:number]:
            raise invalid(f"{path}[{number}]", "is in the list twice")
