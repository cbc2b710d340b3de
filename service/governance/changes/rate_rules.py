"""Write the rate limits of a model config: one paired rate limit, or any number of rules of one metric each."""

from collections.abc import Sequence

from service.domain.durations import ResetDuration, parse_reset_duration
from service.domain.inputs.identified import IdentifiedRateRule
from service.domain.inputs.limits import RateLimitInput
from service.domain.inputs.model_configs import ModelConfigInput, RateRuleInput
from service.governance.changes.change import Change, new_id
from service.governance.changes.given import kept
from service.store.limits import (
    LimitOwner,
    RateLimitColumns,
    StoredRateLimit,
    delete_rate_limits,
    insert_rate_limit,
    list_owner_rate_limits,
    update_rate_limit,
)


async def write_rate_rules(change: Change, owner: LimitOwner, given: ModelConfigInput) -> None:
    """The rules as they should be. Whichever of rules and paired rate limit is given takes the other's place.

    A rule that is there with the same metric and window keeps its usage; every other one starts at zero.
    """
    if isinstance(given.rate_limits, list):
        await _write_rules(change, owner, given.rate_limits)
    elif isinstance(given.rate_limit, RateLimitInput) and not given.rate_limit.is_empty:
        await remove_rate_rules(change, owner)


async def remove_rate_rules(change: Change, owner: LimitOwner) -> None:
    """The paired rate limit stays."""
    stored = await list_owner_rate_limits(change.connection, owner)
    await delete_rate_limits(change.connection, [limit.id for limit in stored if limit.metric is not None])


async def _write_rules(change: Change, owner: LimitOwner, wanted: Sequence[RateRuleInput]) -> None:
    stored = await list_owner_rate_limits(change.connection, owner)
    matched = [_match(stored, rule) for rule in wanted]
    kept_ids = {match.id for match in matched if match is not None}
    await delete_rate_limits(change.connection, [limit.id for limit in stored if limit.id not in kept_ids])
    for rule, match in zip(wanted, matched, strict=True):
        columns = _columns(rule, shadow=kept(rule.shadow, match is not None and match.shadow))
        if match is not None:
            await update_rate_limit(change.connection, match.id, columns)
            continue
        await insert_rate_limit(
            change.connection,
            owner,
            columns,
            rate_limit_id=rule.id if isinstance(rule, IdentifiedRateRule) else new_id(),
            metric=rule.metric,
            now=change.now,
        )


def _match(stored: Sequence[StoredRateLimit], rule: RateRuleInput) -> StoredRateLimit | None:
    """The stored rule it means: by its id when it brings one, else by its metric and window."""
    of_metric = (limit for limit in stored if limit.metric == rule.metric)
    if isinstance(rule, IdentifiedRateRule):
        return next((limit for limit in of_metric if limit.id == rule.id), None)
    return next((limit for limit in of_metric if _key(limit) == rule.key), None)


def _key(stored: StoredRateLimit) -> tuple[str | None, ResetDuration]:
    """What a rule that is asked for has to have in common with it."""
    return stored.metric, parse_reset_duration(stored.token_reset_duration or stored.request_reset_duration or "")


def _columns(rule: RateRuleInput, *, shadow: bool) -> RateLimitColumns:
    if rule.metric == "tokens":
        return RateLimitColumns(token_max_limit=rule.max_limit, token_reset_duration=rule.reset_duration, shadow=shadow)
    return RateLimitColumns(request_max_limit=rule.max_limit, request_reset_duration=rule.reset_duration, shadow=shadow)
