"""Bring one entity to what a file has: made, edited, or left alone."""

from typing import Any

from service.domain.config_file.compare import Differences, config_hash, differences, untold
from service.domain.config_file.complete import completed
from service.domain.config_file.entries import BudgetEntry, Entity
from service.domain.config_file.read import ConfigFile
from service.domain.money import usd_to_nanousd
from service.governance.changes.change import Change
from service.governance.config_file.catalogue import Stored
from service.governance.config_file.kinds import KINDS_OF_ENTITY
from service.governance.config_file.outcome import Outcome
from service.governance.config_file.secrets import differing_secrets
from service.store.config_file import set_config_hash, set_team_documents, set_virtual_key_creator
from service.store.virtual_key_configs import OverrideColumns, set_budget_override


async def apply_entity(
    change: Change, entity: Entity, stored: Stored | None, *, file: ConfigFile, outcome: Outcome
) -> None:
    """What is as the file has it is not written; only the hash of its entry is, when that is another.

    Raises RefusedError.
    """
    digest = config_hash(entity, lambda secret: change.sealer.hash_virtual_key(secret).hex())
    if stored is None:
        await _make(change, entity, outcome)
    elif stored.config_hash == digest and not file.is_authoritative:
        outcome.leave()
        return
    else:
        await _edit(change, stored, completed(entity, stored.entity, file), outcome)
    if stored is None or stored.config_hash != digest:
        await set_config_hash(change.connection, entity.kind, entity.id, digest)


async def _make(change: Change, entity: Entity, outcome: Outcome) -> None:
    if entity.kind == "provider" and not entity.limits:
        outcome.leave()
        return
    await KINDS_OF_ENTITY[entity.kind].make(change, entity)
    await _write_the_rest(change, None, entity)
    await _tell(change, entity, None, untold(differences(None, entity)))
    outcome.create(entity.kind, entity.id, getattr(entity.entry, "name", ""))


async def _edit(change: Change, stored: Stored, entity: Entity, outcome: Outcome) -> None:
    changes = differences(stored.entity, entity)
    secrets = differing_secrets(stored, entity)
    if not changes and not secrets:
        outcome.leave()
        return
    await KINDS_OF_ENTITY[entity.kind].edit(change, stored, entity)
    await _write_the_rest(change, stored.entity, entity)
    await _tell(change, entity, stored, untold(changes))
    outcome.edit(entity.kind, entity.id, changes, secrets)


async def _tell(change: Change, entity: Entity, stored: Stored | None, changes: Differences) -> None:
    if changes:
        tenant_id = None if stored is None else stored.tenant_id
        row_id = entity.id if stored is None else stored.row_id
        await change.note("update", (entity.kind, row_id), changes=changes, tenant_id=tenant_id)


async def _write_the_rest(change: Change, before: Entity | None, after: Entity) -> None:
    """What clients of the API cannot change, or not of every kind of entity."""
    old: Any = None if before is None else before.entry
    new = after.entry
    if after.kind == "team":
        documents = {name: getattr(new, name) for name in ("profile", "config", "claims")}
        if documents != {name: getattr(old, name, {}) for name in documents}:
            await set_team_documents(change.connection, after.id, documents)
    if after.kind == "virtual_key" and new.created_by_user_id != getattr(old, "created_by_user_id", None):
        await set_virtual_key_creator(change.connection, after.id, new.created_by_user_id)
    for part, limits in after.limits.items():
        stored = {} if before is None else {budget.id: _override(budget) for budget in before.limits_of(part).budgets}
        for budget in limits.budgets:
            if _override(budget) != stored.get(budget.id, OverrideColumns()):
                await set_budget_override(change.connection, budget.id, _override(budget))


def _override(budget: BudgetEntry) -> OverrideColumns:
    if budget.override_mode is None:
        return OverrideColumns()
    return OverrideColumns(
        override_mode=budget.override_mode,
        override_amount_nanousd=usd_to_nanousd(budget.override_amount or 0),
        override_cycles_total=budget.override_cycles_total,
        override_anchor_reset=budget.override_anchor_reset,
    )
