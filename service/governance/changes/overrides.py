"""Temporary extra allowances on budgets of virtual keys."""

from typing import Any

import msgspec

from service.domain.inputs.virtual_keys import OverrideInput, check_override
from service.domain.money import MAX_LIMIT_USD, NANOUSD_PER_USD, nanousd_to_json, usd_to_nanousd
from service.domain.refusals import invalid, not_found
from service.domain.windows import window_at
from service.governance.changes.change import Change
from service.governance.changes.edit import begin_edit, finish_edit
from service.governance.changes.virtual_keys import VIRTUAL_KEY, lock
from service.store.virtual_key_configs import (
    OverridableBudget,
    OverrideColumns,
    find_budget_of_virtual_key,
    set_budget_override,
)


class Overridden(msgspec.Struct, frozen=True):
    """The budget's JSON, and what may be spent in its current window as a JSON number in USD."""

    budget: bytes
    effective_max_limit: bytes


async def set_override(change: Change, virtual_key_id: str, budget_id: str, given: OverrideInput) -> Overridden:
    """Replaces any earlier override. Raises RefusedError."""
    check_override(given)
    await lock(change, virtual_key_id)
    before = await begin_edit(change, VIRTUAL_KEY, virtual_key_id)
    budget = await _find(change, virtual_key_id, budget_id)
    amount_nanousd = usd_to_nanousd(given.amount)
    if not 0 < amount_nanousd <= MAX_LIMIT_USD * NANOUSD_PER_USD - budget.max_limit_nanousd:
        raise invalid("$.amount", "must be a nano-dollar at least, and with the budget's limit 9e9 USD at most")
    override = OverrideColumns(
        override_mode=given.mode,
        override_amount_nanousd=amount_nanousd,
        override_cycles_total=given.cycles or None,
        override_anchor_reset=window_at(budget.rule, change.now).start,
    )
    await set_budget_override(change.connection, budget_id, override)
    body = await finish_edit(change, VIRTUAL_KEY, before, action="override")
    return Overridden(_budget_in(body, budget_id), nanousd_to_json(budget.max_limit_nanousd + amount_nanousd))


async def remove_override(change: Change, virtual_key_id: str, budget_id: str) -> Overridden:
    """Whether or not there is one. Raises RefusedError."""
    await lock(change, virtual_key_id)
    before = await begin_edit(change, VIRTUAL_KEY, virtual_key_id)
    budget = await _find(change, virtual_key_id, budget_id)
    await set_budget_override(change.connection, budget_id, OverrideColumns())
    body = await finish_edit(change, VIRTUAL_KEY, before, action="override")
    return Overridden(_budget_in(body, budget_id), nanousd_to_json(budget.max_limit_nanousd))


async def _find(change: Change, virtual_key_id: str, budget_id: str) -> OverridableBudget:
    budget = await find_budget_of_virtual_key(change.connection, virtual_key_id, budget_id)
    if budget is None:
        raise not_found("Budget not found")
    return budget


def _budget_in(body: bytes, budget_id: str) -> bytes:
    """The budget's JSON out of its virtual key's."""
    key: dict[str, Any] = msgspec.json.decode(body)
    configs = key["provider_configs"]
    models = [model for config in configs for model in config.get("model_budgets", [])]
    for owner in (key, *configs, *models):
        for budget in owner["budgets"]:
            if budget["id"] == budget_id:
                return msgspec.json.encode(budget)
    raise not_found("Budget not found")
