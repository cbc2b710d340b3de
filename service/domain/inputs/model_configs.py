"""Limits of models and of providers as a client asks for them."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.domain.durations import ResetDuration, parse_reset_duration
from service.domain.inputs.fields import PLAIN_TEXT, Count, Name, OwnerId, RateDuration, Shadow, TimeZone
from service.domain.inputs.limits import LimitsInput, RateLimitInput, check_duration, check_limits
from service.domain.refusals import RefusedError, invalid

_MOST_RULES = 50

Metric = Literal["tokens", "requests"]
# `user` is a word of the wire, and no longer a scope anything is made in.
ModelScope = Literal["global", "virtual_key", "user"]
ProviderName = Annotated[str, Meta(max_length=255, pattern=PLAIN_TEXT, description="null or empty: every provider")]


class RateRuleInput(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of one metric; there may be several, each with a window of its own. `shadow` stays when left out."""

    metric: Metric
    max_limit: Count
    reset_duration: RateDuration
    shadow: Shadow | UnsetType | None = UNSET

    @property
    def key(self) -> tuple[str, ResetDuration]:
        """What makes it the rule it is: another metric or window is another rule."""
        return self.metric, parse_reset_duration(self.reset_duration)


class AlignedLimitsInput(LimitsInput, frozen=True, kw_only=True):
    """Limits with the calendar they follow."""

    calendar_aligned: bool | UnsetType | None = UNSET
    time_zone: TimeZone | UnsetType | None = UNSET


class ModelConfigInput(AlignedLimitsInput, frozen=True, kw_only=True):
    """`rate_limits` is the full list of rules and takes the place of `rate_limit`, which holds one of each metric."""

    provider: ProviderName | UnsetType | None = UNSET
    scope: ModelScope | UnsetType | None = UNSET
    scope_id: OwnerId | UnsetType | None = UNSET
    rate_limits: Annotated[list[RateRuleInput], Meta(max_length=_MOST_RULES)] | UnsetType | None = UNSET


class ModelConfigCreate(ModelConfigInput, frozen=True, kw_only=True):
    """`model_name` `*` is every model; `scope_id` is the virtual key's id in scope `virtual_key`."""

    model_name: Name

    @property
    def virtual_key_id(self) -> str | None:
        """None for the whole deployment. Raises RefusedError for a scope of nothing."""
        if self.scope != "virtual_key":
            return None
        if not self.scope_id:
            raise invalid("$.scope_id", "scope_id is required for scope 'virtual_key'")
        return self.scope_id


class ModelConfigUpdate(ModelConfigInput, frozen=True, kw_only=True):
    """`scope` and `scope_id` never change; `reset_budget_usage` starts the budgets again at zero, in their windows."""

    model_name: Name | UnsetType = UNSET
    reset_budget_usage: bool = False


class ProviderLimitsUpdate(AlignedLimitsInput, frozen=True, kw_only=True):
    """The limits of a whole provider, deployment-wide; `reset_budget_usage` as for a model config."""

    reset_budget_usage: bool = False


def check_model_config(given: ModelConfigInput) -> None:
    """Hold it to the rules its types do not say. Raises RefusedError."""
    check_limits(given)
    if given.provider:
        check_provider_name(given.provider, "$.provider")
    if not isinstance(given.rate_limits, list):
        return
    if isinstance(given.rate_limit, RateLimitInput):
        raise invalid("$.rate_limits", "only one of 'rate_limit' or 'rate_limits' may be set")
    _check_rate_rules(given.rate_limits)


def check_provider_name(name: str, path: str | None = None) -> None:
    """Raises RefusedError for what no provider can be called."""
    try:
        msgspec.convert(name, Name)
    except msgspec.ValidationError as error:
        raise RefusedError("invalid", "Invalid provider name", path=path) from error


def _check_rate_rules(rules: Sequence[RateRuleInput]) -> None:
    seen: set[tuple[str, ResetDuration]] = set()
    for number, rule in enumerate(rules):
        path = f"$.rate_limits[{number}].reset_duration"
        check_duration(rule.reset_duration, path, quarters=False)
        if rule.key in seen:
            raise invalid(path, "duplicate metric and reset_duration in rate_limits")
        seen.add(rule.key)
