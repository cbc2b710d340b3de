"""Changes of pricing overrides."""

from typing import Any

import msgspec
from msgspec import UNSET

from service.domain.inputs.pricing import (
    SCOPE_IDS,
    PricingOverrideCreate,
    PricingOverrideInput,
    PricingOverrideUpdate,
    check_pattern,
    check_request_types,
    check_scope,
    checked_patch,
)
from service.domain.refusals import not_found
from service.governance.catalogue import show_pricing_overrides
from service.governance.changes.change import Change, new_id
from service.governance.changes.edit import EntityKind, begin_edit, finish_creation, finish_edit, finish_removal
from service.governance.changes.given import merged
from service.store.pricing_overrides import (
    PricingOverrideColumns,
    delete_pricing_override as delete_row,
    insert_pricing_override,
    lock_pricing_override,
    update_pricing_override as update_row,
)

PRICING_OVERRIDE = EntityKind("pricing_override", "Pricing override", show_pricing_overrides)
_NULLABLE = frozenset(SCOPE_IDS)


async def create_pricing_override(
    change: Change, given: PricingOverrideCreate, *, override_id: str | None = None
) -> bytes:
    """Answers the override's JSON. Raises RefusedError."""
    required = PricingOverrideColumns(
        name=given.name, scope_kind=given.scope_kind, match_type=given.match_type, pattern=given.pattern
    )
    columns = _merged(required, given)
    override_id = override_id or new_id()
    await insert_pricing_override(change.connection, override_id, columns, now=change.now)
    return await finish_creation(change, PRICING_OVERRIDE, override_id)


async def update_pricing_override(change: Change, override_id: str, given: PricingOverrideUpdate) -> bytes:
    """Another `scope_kind` clears all four ids before those that were sent are set. Raises RefusedError."""
    columns = await _lock(change, override_id)
    before = await begin_edit(change, PRICING_OVERRIDE, override_id)
    if given.scope_kind not in (UNSET, columns.scope_kind):
        columns = msgspec.structs.replace(columns, **dict.fromkeys(SCOPE_IDS))
    await update_row(change.connection, override_id, _merged(columns, given))
    return await finish_edit(change, PRICING_OVERRIDE, before)


async def delete_pricing_override(change: Change, override_id: str) -> None:
    """Raises RefusedError."""
    await _lock(change, override_id)
    before = await begin_edit(change, PRICING_OVERRIDE, override_id)
    await delete_row(change.connection, override_id)
    await finish_removal(change, PRICING_OVERRIDE, before)


def _merged(columns: PricingOverrideColumns, given: PricingOverrideInput) -> PricingOverrideColumns:
    """The override as it will be, held to its rules."""
    new = merged(columns, given, nullable=_NULLABLE)
    cleared: dict[str, Any] = {name: getattr(new, name) or None for name in SCOPE_IDS}
    if given.request_types is not UNSET:
        cleared["request_types"] = given.request_types or []
    if given.patch is not UNSET:
        cleared["pricing_patch"] = checked_patch(given.patch or {})
    new = msgspec.structs.replace(new, **cleared)
    check_scope(new.scope_kind, {name: getattr(new, name) for name in SCOPE_IDS})
    check_pattern(new.match_type, new.pattern)
    check_request_types(new.request_types)
    return new


async def _lock(change: Change, override_id: str) -> PricingOverrideColumns:
    columns = await lock_pricing_override(change.connection, override_id)
    if columns is None:
        raise not_found("Pricing override not found")
    return columns
