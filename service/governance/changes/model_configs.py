"""Changes of model configs."""

import msgspec
from msgspec import UNSET

from service.domain.inputs.model_configs import (
    ModelConfigCreate,
    ModelConfigInput,
    ModelConfigUpdate,
    check_model_config,
)
from service.domain.refusals import invalid, not_found
from service.governance.changes.change import Change, new_id
from service.governance.changes.edit import EntityKind, begin_edit, finish_creation, finish_edit, finish_removal
from service.governance.changes.given import merged
from service.governance.changes.limits import write_limits
from service.governance.changes.rate_rules import write_rate_rules
from service.governance.tree.shown import show_model_configs
from service.store.limits import LimitOwner
from service.store.model_configs import (
    ModelConfigColumns,
    delete_model_config as delete_row,
    insert_model_config,
    lock_model_config,
    update_model_config as update_row,
)

MODEL_CONFIG = EntityKind("model_config", "Model config", show_model_configs)
_NULLABLE = frozenset({"provider"})


async def create_model_config(change: Change, given: ModelConfigCreate, *, model_config_id: str | None = None) -> bytes:
    """Answers the model config's JSON. Raises RefusedError."""
    check_model_config(given)
    model_config_id = model_config_id or new_id()
    new = ModelConfigColumns(virtual_key_id=given.virtual_key_id, model_name=given.model_name)
    await insert_model_config(change.connection, model_config_id, _columns(new, given), now=change.now)
    await _write_limits(change, model_config_id, given)
    return await finish_creation(change, MODEL_CONFIG, model_config_id)


async def update_model_config(change: Change, model_config_id: str, given: ModelConfigUpdate) -> bytes:
    """Usage stays when the model or provider changes. Raises RefusedError."""
    check_model_config(given)
    columns = await _lock(change, model_config_id)
    _check_scope(columns, given)
    before = await begin_edit(change, MODEL_CONFIG, model_config_id)
    await update_row(change.connection, model_config_id, _columns(columns, given))
    await _write_limits(change, model_config_id, given)
    return await finish_edit(change, MODEL_CONFIG, before, reset_budget_usage=given.reset_budget_usage)


async def delete_model_config(change: Change, model_config_id: str) -> None:
    """Raises RefusedError."""
    await _lock(change, model_config_id)
    before = await begin_edit(change, MODEL_CONFIG, model_config_id)
    await delete_row(change.connection, model_config_id)
    await finish_removal(change, MODEL_CONFIG, before)


async def _write_limits(change: Change, model_config_id: str, given: ModelConfigInput) -> None:
    owner = LimitOwner("model_config_id", model_config_id)
    await write_limits(change, owner, given)
    await write_rate_rules(change, owner, given)


def _columns(columns: ModelConfigColumns, given: ModelConfigInput) -> ModelConfigColumns:
    """Null and the empty text both mean every provider."""
    new = merged(columns, given, nullable=_NULLABLE)
    return msgspec.structs.replace(new, provider=new.provider or None)


def _check_scope(columns: ModelConfigColumns, given: ModelConfigUpdate) -> None:
    scope = "global" if columns.virtual_key_id is None else "virtual_key"
    if given.scope not in (UNSET, None, scope):
        raise invalid("$.scope", f"is '{scope}', and cannot be changed")
    if given.scope_id is not UNSET and (given.scope_id or None) not in (None, columns.virtual_key_id):
        raise invalid("$.scope_id", "cannot be changed")


async def _lock(change: Change, model_config_id: str) -> ModelConfigColumns:
    columns = await lock_model_config(change.connection, model_config_id)
    if columns is None:
        raise not_found("Model config not found")
    return columns
