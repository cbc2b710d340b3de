"""Changes of provider keys: what may be shown is stored as such, the secrets are sealed together."""

import msgspec
from msgspec import UNSET

from service.domain.inputs.provider_keys import (
    SECRET_FIELDS,
    ProviderKeyCreate,
    ProviderKeyInput,
    ProviderKeyUpdate,
    check_provider_key,
)
from service.domain.redaction import redacted, separated
from service.domain.refusals import conflict, not_found
from service.domain.sealing import NotOpenedError, sealed_provider_key
from service.governance.catalogue import show_provider_keys
from service.governance.changes.change import Change, new_id
from service.governance.changes.edit import EntityKind, begin_edit, finish_creation, finish_edit, finish_removal
from service.governance.changes.given import merged
from service.governance.tree.shown import Shown
from service.store.provider_keys import (
    ProviderKeyColumns,
    delete_provider_key as delete_row,
    insert_provider_key,
    lock_provider_key,
    update_provider_key as update_row,
)

PROVIDER_KEY = EntityKind("provider_key", "Provider key", show_provider_keys)
Secrets = dict[str, str]


async def create_provider_key(change: Change, given: ProviderKeyCreate, *, key_id: str | None = None) -> bytes:
    """Answers the key's JSON, its secrets redacted. Raises RefusedError."""
    check_provider_key(given)
    key_id = key_id or new_id()
    columns, secrets = _merged(ProviderKeyColumns(name=given.name, provider=given.provider), given, {})
    await insert_provider_key(change.connection, key_id, _sealed(change, key_id, columns, secrets), now=change.now)
    return await finish_creation(change, PROVIDER_KEY, key_id)


async def update_provider_key(change: Change, key_id: str, given: ProviderKeyUpdate) -> bytes:
    """A secret that is left out, or sent back as it is shown, stays. Raises RefusedError."""
    check_provider_key(given)
    stored_columns = await _lock(change, key_id)
    before = await begin_edit(change, PROVIDER_KEY, key_id)
    stored = _opened(change, key_id, stored_columns)
    columns, secrets = _merged(stored_columns, given, stored)
    await update_row(change.connection, key_id, _sealed(change, key_id, columns, secrets))
    await _note_replaced(change, before, stored, secrets)
    return await finish_edit(change, PROVIDER_KEY, before)


async def delete_provider_key(change: Change, key_id: str) -> None:
    """Virtual keys that are pinned to it lose it. Raises RefusedError."""
    await _lock(change, key_id)
    before = await begin_edit(change, PROVIDER_KEY, key_id)
    await delete_row(change.connection, key_id)
    await finish_removal(change, PROVIDER_KEY, before)


def _merged(
    columns: ProviderKeyColumns, given: ProviderKeyInput, stored: Secrets
) -> tuple[ProviderKeyColumns, Secrets]:
    """The columns with what was sent, as it may be shown, and all secrets there are then by their paths."""
    columns = merged(columns, given)
    secrets: Secrets = {}
    for field in SECRET_FIELDS:
        sent, path = getattr(given, field), f"$.{field}"
        if sent is UNSET or (sent is None and field == "value"):
            secrets |= {name: secret for name, secret in stored.items() if name == path or name.startswith(f"{path}.")}
            continue
        part = separated(sent, stored, path)
        columns = msgspec.structs.replace(columns, **{field: part.shown})
        secrets |= part.secrets
    return columns, secrets


def _sealed(change: Change, key_id: str, columns: ProviderKeyColumns, secrets: Secrets) -> ProviderKeyColumns:
    document = msgspec.json.encode(secrets).decode()
    sealed = change.sealer.seal(document, belongs_to=sealed_provider_key(key_id)) if secrets else None
    return msgspec.structs.replace(columns, secrets_sealed=sealed)


def _opened(change: Change, key_id: str, columns: ProviderKeyColumns) -> Secrets:
    if columns.secrets_sealed is None:
        return {}
    try:
        document = change.sealer.open(columns.secrets_sealed, belongs_to=sealed_provider_key(key_id))
    except NotOpenedError as error:
        raise conflict("The stored secrets of this key can no longer be read: delete it and create it anew") from error
    return msgspec.json.decode(document, type=Secrets)


async def _note_replaced(change: Change, key: Shown, before: Secrets, after: Secrets) -> None:
    """A secret's redacted form may stay the same, and a key's value is in no other entry."""
    replaced = {
        path: [shown.get(path) and redacted(shown[path]) for shown in (before, after)]
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    }
    if replaced:
        entity = (PROVIDER_KEY.type, key.id)
        await change.note("replace_secrets", entity, changes=replaced, tenant_id=key.tenant_id)


async def _lock(change: Change, key_id: str) -> ProviderKeyColumns:
    columns = await lock_provider_key(change.connection, key_id)
    if columns is None:
        raise not_found("Provider key not found")
    return columns
