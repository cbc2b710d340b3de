"""Write the provider configs of a virtual key: the full set as it should be."""

from collections.abc import Sequence

from msgspec import UnsetType

from service.domain.inputs.limits import LimitsInput, RateLimitInput
from service.domain.inputs.lists import EVERYTHING
from service.domain.inputs.virtual_keys import ModelBudgetInput, ProviderConfigInput
from service.domain.refusals import invalid
from service.governance.changes.change import Change, new_id
from service.governance.changes.limits import write_limits
from service.store.limits import LimitOwner
from service.store.virtual_key_configs import (
    ProviderConfigColumns,
    delete_model_budgets,
    delete_provider_configs,
    insert_model_budget,
    insert_provider_config,
    list_model_budgets,
    list_stored_provider_configs,
    pin_provider_keys,
    update_provider_config,
)


async def write_provider_configs(change: Change, virtual_key_id: str, wanted: Sequence[ProviderConfigInput]) -> None:
    """What is not listed goes. Raises RefusedError for an id the key does not have, and for unknown provider keys."""
    stored = await list_stored_provider_configs(change.connection, virtual_key_id)
    matched = _match(stored, wanted)
    gone = [config_id for config_id in stored if config_id not in matched]
    await delete_provider_configs(change.connection, gone)
    providers = {config.provider for config in wanted}
    for provider in {stored[config_id] for config_id in gone} - providers:
        await _write_model_budgets(change, virtual_key_id, provider, [], path="$")
    for number, (config, config_id) in enumerate(zip(wanted, matched, strict=True)):
        await _write_one(change, virtual_key_id, config, config_id, path=f"$.provider_configs[{number}]")


def _match(stored: dict[int, str], wanted: Sequence[ProviderConfigInput]) -> list[int | None]:
    """For each wanted config the stored one it means: by id, else by provider."""
    named = {config.id for config in wanted if isinstance(config.id, int)}
    by_provider = {provider: config_id for config_id, provider in stored.items() if config_id not in named}
    matched: list[int | None] = []
    for number, config in enumerate(wanted):
        if not isinstance(config.id, int):
            matched.append(by_provider.get(config.provider))
        elif config.id in stored and config.id not in matched:
            matched.append(config.id)
        else:
            raise invalid(f"$.provider_configs[{number}].id", "does not belong to this virtual key")
    return matched


async def _write_one(
    change: Change, virtual_key_id: str, config: ProviderConfigInput, config_id: int | None, *, path: str
) -> None:
    key_ids = config.key_ids or []
    columns = ProviderConfigColumns(
        provider=config.provider,
        weight=config.weight if isinstance(config.weight, float) else None,
        allowed_models=config.allowed_models or [],
        blacklisted_models=config.blacklisted_models or [],
        allow_all_keys=key_ids == [EVERYTHING],
    )
    if config_id is None:
        config_id = await insert_provider_config(change.connection, virtual_key_id, columns)
    else:
        await update_provider_config(change.connection, config_id, columns)
    await _pin(change, config_id, [] if columns.allow_all_keys else key_ids, path=f"{path}.key_ids")
    limits = config if isinstance(config.id, int) else _in_full(config)
    await write_limits(change, LimitOwner("provider_config_id", config_id), limits, path=path)
    if isinstance(config.model_budgets, list):
        await _write_model_budgets(
            change, virtual_key_id, config.provider, config.model_budgets, path=f"{path}.model_budgets"
        )


def _in_full(config: ProviderConfigInput) -> LimitsInput:
    """Without an id the config is written anew: a limit it does not name is not there."""
    without_budgets = not isinstance(config.budgets, list) and isinstance(config.budget, UnsetType | None)
    return LimitsInput(
        budgets=[] if without_budgets else config.budgets,
        budget=config.budget,
        rate_limit=config.rate_limit if isinstance(config.rate_limit, RateLimitInput) else RateLimitInput(),
    )


async def _pin(change: Change, config_id: int, key_ids: Sequence[str], *, path: str) -> None:
    found = await pin_provider_keys(change.connection, config_id, key_ids)
    if len(found) != len(key_ids):
        raise invalid(path, f"some provider keys were not found: expected {len(key_ids)}, found {len(found)}")


async def _write_model_budgets(
    change: Change, virtual_key_id: str, provider: str, wanted: Sequence[ModelBudgetInput], *, path: str
) -> None:
    stored = await list_model_budgets(change.connection, virtual_key_id, provider)
    names = {model_budget.model_name for model_budget in wanted}
    await delete_model_budgets(change.connection, [stored[name] for name in stored if name not in names])
    for number, model_budget in enumerate(wanted):
        model_config_id = stored.get(model_budget.model_name)
        if model_config_id is None:
            model_config_id = new_id()
            await insert_model_budget(
                change.connection,
                virtual_key_id,
                model_config_id=model_config_id,
                provider=provider,
                model_name=model_budget.model_name,
                now=change.now,
            )
        owner = LimitOwner("model_config_id", model_config_id)
        await write_limits(change, owner, model_budget, path=f"{path}[{number}]")
