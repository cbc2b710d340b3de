"""Changes of the limits of whole providers."""

import msgspec

from service.domain.inputs.limits import RateLimitInput, check_limits
from service.domain.inputs.model_configs import ProviderLimitsUpdate, check_provider_name
from service.governance.changes.change import Change, new_id
from service.governance.changes.edit import EntityKind, begin_edit, finish_creation, finish_edit, finish_removal
from service.governance.changes.given import merged
from service.governance.changes.limits import write_limits
from service.governance.changes.rate_rules import remove_rate_rules
from service.governance.tree.provider_limits import ProviderLimits, show_provider_limits
from service.store.limits import LimitOwner, list_owner_budgets, list_owner_rate_limits
from service.store.model_configs import (
    StoredModelConfig,
    delete_model_config,
    insert_provider_model_config,
    lock_provider_model_config,
    update_model_config,
)
from service.store.refusals import ConcurrentChangeError

PROVIDER = EntityKind("provider", "Provider", show_provider_limits)


async def update_provider_limits(change: Change, provider: str, given: ProviderLimitsUpdate) -> bytes:
    """Made when there are none, removed when none is left; answers their JSON. Raises RefusedError."""
    check_provider_name(provider)
    check_limits(given)
    stored = await lock_provider_model_config(change.connection, provider)
    if stored is None:
        return await _make(change, provider, given)
    before = await begin_edit(change, PROVIDER, provider)
    await update_model_config(change.connection, stored.id, merged(stored, given))
    if await _write_limits(change, stored.id, given):
        return await finish_edit(change, PROVIDER, before, reset_budget_usage=given.reset_budget_usage)
    await delete_model_config(change.connection, stored.id)
    await finish_removal(change, PROVIDER, before)
    return _nothing(provider)


async def delete_provider_limits(change: Change, provider: str) -> None:
    """Nothing to delete is as good. Raises RefusedError for limits that are not as the client last saw them."""
    stored = await lock_provider_model_config(change.connection, provider)
    if stored is None:
        return
    before = await begin_edit(change, PROVIDER, provider)
    await delete_model_config(change.connection, stored.id)
    await finish_removal(change, PROVIDER, before)


async def _make(change: Change, provider: str, given: ProviderLimitsUpdate) -> bytes:
    change.check_match("")
    new = merged(StoredModelConfig(id=new_id(), model_name="*", provider=provider), given)
    if not await insert_provider_model_config(change.connection, new, now=change.now):
        raise ConcurrentChangeError
    if await _write_limits(change, new.id, given):
        return await finish_creation(change, PROVIDER, provider)
    await delete_model_config(change.connection, new.id)
    return _nothing(provider)


async def _write_limits(change: Change, model_config_id: str, given: ProviderLimitsUpdate) -> bool:
    """Whether any limit is there then."""
    owner = LimitOwner("model_config_id", model_config_id)
    await write_limits(change, owner, given)
    if isinstance(given.rate_limit, RateLimitInput):
        await remove_rate_rules(change, owner)
    budgets = await list_owner_budgets(change.connection, owner)
    return bool(budgets or await list_owner_rate_limits(change.connection, owner))


def _nothing(provider: str) -> bytes:
    return msgspec.json.encode(ProviderLimits(provider=provider, budgets=[], calendar_aligned=False))
