"""Take away what a file that is the source of truth no longer has; and free limits for the owners a file gives them."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from service.domain.config_file.entries import ITSELF, Kind
from service.domain.config_file.own import Owner
from service.domain.config_file.read import KINDS, ConfigFile, all_entities
from service.governance.changes.change import Change
from service.governance.config_file.kinds import KINDS_OF_ENTITY
from service.governance.config_file.outcome import Outcome
from service.store.config_file import PIECE, LimitOwner, Listed, list_limit_owners, list_pieces
from service.store.limits import delete_budgets, delete_rate_limits, list_budget_ids, list_rate_limit_ids

_DELETES = {"budget": delete_budgets, "rate_limit": delete_rate_limits}
_LISTS = {"budget": list_budget_ids, "rate_limit": list_rate_limit_ids}


async def prune_entities(change: Change, file: ConfigFile, outcome: Outcome) -> None:
    """Those whose sections are in the file, and who are not: what names others before what is named."""
    for kind in reversed(KINDS):
        if kind in file.entities:
            async for entity_id, name in _missing(change, kind, file):
                await KINDS_OF_ENTITY[kind].remove(change, entity_id)
                outcome.delete(kind, name)


async def prune_limits(change: Change, file: ConfigFile, outcome: Outcome) -> None:
    """Limits of owners that are not in the file; those of its own are as it has them by now."""
    for kind, in_file in file.limit_ids.items():
        last_id = ""
        while ids := await _LISTS[kind](change.connection, last_id, limit=PIECE):
            last_id = ids[-1]
            missing = [limit_id for limit_id in ids if limit_id not in in_file]
            await _remove_limits(change, kind, await _owners(change, kind, missing), outcome)


async def free_moved_limits(change: Change, file: ConfigFile, outcome: Outcome) -> None:
    """A limit that is another owner's is taken from it, for the file's to be made under the same id."""
    for kind in file.limit_ids:
        wanted = dict(_wanted_owners(kind, file))
        ids = list(wanted)
        for first in range(0, len(ids), PIECE):
            owners = await _owners(change, kind, ids[first : first + PIECE])
            moved = [owner for owner in owners if wanted[owner.id] not in _as_named(owner)]
            await _remove_limits(change, kind, moved, outcome)


async def _missing(change: Change, kind: Kind, file: ConfigFile) -> AsyncIterator[tuple[str, str]]:
    """What each is removed by, and its name."""
    named = {kind: {entity.id for entity in entities} for kind, entities in file.entities.items()}
    keys = file.entities.get("provider_key", [])
    named["provider_key"] = named.get("provider_key", set()) | {key.entry.id for key in keys}
    async for piece in list_pieces(change.connection, "model_config" if kind == "provider" else kind):
        for row in piece:
            if _is_said(kind, row, named, file):
                continue
            provider = row.provider if kind == "provider" else None
            yield provider or row.id, provider or row.name or row.id


def _is_said(kind: Kind, row: Listed, named: Mapping[Kind, set[str]], file: ConfigFile) -> bool:
    """Limits of a whole provider are in the section `providers` if the file has it, else in `model_configs`."""
    if kind == "provider":
        return not row.provider or row.provider in named[kind] or row.id in named.get("model_config", ())
    if kind == "model_config" and row.provider and "provider" in named:
        return True
    if kind == "provider_key" and row.provider in file.unlisted_providers:
        return True
    return row.id in named[kind] or row.name in named[kind]


async def _owners(change: Change, kind: str, limit_ids: Sequence[str]) -> list[LimitOwner]:
    if not limit_ids:
        return []
    return await list_limit_owners(change.connection, **{f"{kind}_ids": limit_ids})


async def _remove_limits(change: Change, kind: str, limits: Sequence[LimitOwner], outcome: Outcome) -> None:
    await _DELETES[kind](change.connection, [limit.id for limit in limits])
    for limit in limits:
        owner_kind, owner_id, _ = _as_named(limit)[0]
        changes = {f"{owner_kind}_id": [owner_id, None]}
        await change.note("delete", (kind, limit.id), changes=changes, tenant_id=limit.tenant_id)
        outcome.delete(kind, limit.id, f"of {owner_kind} {owner_id}")


def _wanted_owners(kind: str, file: ConfigFile) -> Iterable[tuple[str, Owner]]:
    for entity in all_entities(file):
        for part, limits in entity.limits.items():
            owned = limits.budgets if kind == "budget" else limits.rate_limits
            for limit in owned:
                yield limit.id, (entity.kind, entity.id, part)


def _as_named(limit: LimitOwner) -> list[Owner]:
    """Its owner under each name a file may have for it."""
    if limit.virtual_key_id is not None:
        return [("virtual_key", limit.virtual_key_id, limit.provider or ITSELF)]
    for kind, owner_id in (("customer", limit.customer_id), ("team", limit.team_id)):
        if owner_id is not None:
            return [(kind, owner_id, ITSELF)]
    named = [("model_config", limit.model_config_id or "", ITSELF)]
    return [*named, ("provider", limit.provider, ITSELF)] if limit.provider else named
