"""Changes of virtual keys."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import UNSET

from service.domain.inputs.virtual_keys import VirtualKeyCreate, VirtualKeyInput, VirtualKeyUpdate, check_virtual_key
from service.domain.refusals import RefusedError, not_found
from service.domain.sealing import new_virtual_key_value, sealed_virtual_key
from service.governance.changes.change import Change, new_id
from service.governance.changes.edit import EntityKind, begin_edit, finish_creation, finish_edit, finish_removal
from service.governance.changes.given import merged, owner_id
from service.governance.changes.limits import write_limits
from service.governance.changes.mcp_configs import write_mcp_configs
from service.governance.changes.provider_configs import write_provider_configs
from service.governance.tree.shown import show_virtual_keys
from service.store.limits import LimitOwner
from service.store.virtual_key_configs import align_model_configs
from service.store.virtual_keys import (
    KeyValue,
    VirtualKeyColumns,
    delete_virtual_key as delete_row,
    insert_virtual_key,
    lock_virtual_key,
    rotate_virtual_key as rotate_row,
    update_virtual_key as update_row,
)

VIRTUAL_KEY = EntityKind("virtual_key", "Virtual key", show_virtual_keys)
_NULLABLE = frozenset({"max_parallel_requests", "disable_content_logging", "delete_after_expire"})


class Rotated(msgspec.Struct, frozen=True):
    """The JSON of each virtual key that was rotated, and by id why another was not."""

    virtual_keys: list[bytes]
    errors: dict[str, str]


async def create_virtual_key(
    change: Change, given: VirtualKeyCreate, *, virtual_key_id: str | None = None, value: str | None = None
) -> bytes:
    """Answers the virtual key's JSON, with its value. Raises RefusedError."""
    check_virtual_key(given)
    virtual_key_id = virtual_key_id or new_id()
    columns = _columns(change, VirtualKeyColumns(name=given.name), given)
    await insert_virtual_key(
        change.connection, virtual_key_id, columns, value=_sealed(change, virtual_key_id, value), now=change.now
    )
    await _write_what_it_has(change, virtual_key_id, given)
    return await finish_creation(change, VIRTUAL_KEY, virtual_key_id)


async def update_virtual_key(change: Change, virtual_key_id: str, given: VirtualKeyUpdate) -> bytes:
    """Another owner takes the key with all it has; usage stays. Raises RefusedError."""
    check_virtual_key(given)
    columns = await lock(change, virtual_key_id)
    before = await begin_edit(change, VIRTUAL_KEY, virtual_key_id)
    await update_row(change.connection, virtual_key_id, _columns(change, columns, given))
    await align_model_configs(change.connection, virtual_key_id)
    await _write_what_it_has(change, virtual_key_id, given)
    return await finish_edit(change, VIRTUAL_KEY, before, reset_budget_usage=given.reset_budget_usage)


async def delete_virtual_key(change: Change, virtual_key_id: str) -> None:
    """Its usage stays in the ledger. Raises RefusedError."""
    await lock(change, virtual_key_id)
    before = await begin_edit(change, VIRTUAL_KEY, virtual_key_id)
    await delete_row(change.connection, virtual_key_id)
    await finish_removal(change, VIRTUAL_KEY, before)


async def rotate_virtual_key(
    change: Change, virtual_key_id: str, *, cooldown: timedelta, value: str | None = None
) -> bytes:
    """A new value; the one before goes on working for `cooldown`. Id, limits and usage stay. Raises RefusedError."""
    await lock(change, virtual_key_id)
    before = await begin_edit(change, VIRTUAL_KEY, virtual_key_id)
    await rotate_row(
        change.connection,
        virtual_key_id,
        value=_sealed(change, virtual_key_id, value),
        previous_value_expires_at=change.now + cooldown if cooldown else None,
        now=change.now,
    )
    return await finish_edit(change, VIRTUAL_KEY, before, action="rotate")


async def rotate_virtual_keys(change: Change, virtual_key_ids: Sequence[str], *, cooldown: timedelta) -> Rotated:
    """Those that there are. Raises RefusedError when there is none of them."""
    rotated: dict[str, bytes] = {}
    errors: dict[str, str] = {}
    # In id order, so that two of these cannot wait for each other.
    for virtual_key_id in sorted(set(virtual_key_ids)):
        try:
            rotated[virtual_key_id] = await rotate_virtual_key(change, virtual_key_id, cooldown=cooldown)
        except RefusedError as error:
            if error.kind != "not_found":
                raise
            errors[virtual_key_id] = error.message
    if not rotated:
        raise not_found("None of the virtual keys was found")
    in_order = dict.fromkeys(virtual_key_ids)
    return Rotated([rotated[one] for one in in_order if one in rotated], errors)


async def _write_what_it_has(change: Change, virtual_key_id: str, given: VirtualKeyInput) -> None:
    await write_limits(change, LimitOwner("virtual_key_id", virtual_key_id), given)
    if isinstance(given.provider_configs, list):
        await write_provider_configs(change, virtual_key_id, given.provider_configs)
    if isinstance(given.mcp_configs, list):
        await write_mcp_configs(change, virtual_key_id, given.mcp_configs)


def _columns(change: Change, columns: VirtualKeyColumns, given: VirtualKeyInput) -> VirtualKeyColumns:
    # The owner and the expiry have rules of their own.
    kept = {"team_id": columns.team_id, "customer_id": columns.customer_id, "expires_at": columns.expires_at}
    expires_at = given.expiry(change.now)
    special: dict[str, Any] = kept | _owner(given) | ({} if expires_at is UNSET else {"expires_at": expires_at})
    return msgspec.structs.replace(merged(columns, given, nullable=_NULLABLE), **special)


def _owner(given: VirtualKeyInput) -> dict[str, str | None]:
    """What the owner columns become: null or empty detaches, setting one clears the other."""
    sent: dict[str, str | None] = {}
    for name in ("team_id", "customer_id"):
        value = getattr(given, name)
        if value is not UNSET:
            sent[name] = owner_id(value)
    if any(sent.values()):
        return {"team_id": sent.get("team_id"), "customer_id": sent.get("customer_id")}
    return sent


def _sealed(change: Change, virtual_key_id: str, value: str | None) -> KeyValue:
    """As it is kept; a new one when none is given."""
    value = value or new_virtual_key_value()
    sealed = change.sealer.seal(value, belongs_to=sealed_virtual_key(virtual_key_id))
    return KeyValue(change.sealer.hash_virtual_key(value), sealed)


async def lock(change: Change, virtual_key_id: str) -> VirtualKeyColumns:
    """Nobody else changes it until this change is done. Raises RefusedError."""
    columns = await lock_virtual_key(change.connection, virtual_key_id)
    if columns is None:
        raise not_found("Virtual key not found")
    return columns
