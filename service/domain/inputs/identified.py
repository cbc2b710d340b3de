"""Inputs that bring the ids of what they make, as a configuration file does; over HTTP ids are made here."""

from service.domain.inputs.fields import Id
from service.domain.inputs.limits import BudgetInput, RateLimitInput
from service.domain.inputs.model_configs import RateRuleInput


class IdentifiedBudget(BudgetInput, frozen=True, kw_only=True):
    """Made under its `id` when the owner has no budget of that id."""


class IdentifiedRateLimit(RateLimitInput, frozen=True, kw_only=True):
    """A rate limit of another id makes way for it."""

    id: Id


class IdentifiedRateRule(RateRuleInput, frozen=True, kw_only=True):
    """The rule of its `id`, whatever metric and window that had."""

    id: Id
