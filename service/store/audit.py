"""The audit log: who changed what, from what to what, in the transaction of the change itself."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Raw

from service.store.postgres import Connection
from service.store.queries import queries


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`changes` maps a field to its value before and after; the writer leaves secrets out."""

    actor: str
    action: str
    entity_type: str
    entity_id: str
    changes: Mapping[str, object]
    tenant_id: str | None = None
    request_id: str | None = None


async def insert_audit_entry(connection: Connection, entry: AuditEntry) -> None:
    await queries.insert_audit_entry(
        connection,
        actor=entry.actor,
        action=entry.action,
        entity_type=entry.entity_type,
        entity_id=entry.entity_id,
        tenant_id=entry.tenant_id,
        request_id=entry.request_id,
        changes=msgspec.json.encode(entry.changes),
    )


class LoggedChange(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as it is kept; `changes` is its JSON."""

    id: int
    at: datetime
    actor: str
    action: str
    entity_type: str
    entity_id: str
    tenant_id: str | None
    request_id: str | None
    changes: Raw


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Entries that match all that is given, written from `from_at` on and before `to_at`."""

    actor: str | None = None
    action: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    tenant_id: str | None = None
    request_id: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


class AuditPlace(msgspec.Struct, frozen=True):
    """Where in the order of the log a page comes after: that of an entry, or the very beginning."""

    before_at: datetime | None = None
    before_id: int | None = None


async def list_audit_entries(
    connection: Connection, narrowed: AuditFilter, *, after: AuditPlace, limit: int, offset: int
) -> list[LoggedChange]:
    """Newest first."""
    rows = queries.list_audit_entries(
        connection,
        **msgspec.structs.asdict(narrowed),
        **msgspec.structs.asdict(after),
        page_limit=limit,
        page_offset=offset,
    )
    return [LoggedChange(**row) async for row in rows]


async def count_audit_entries(connection: Connection, narrowed: AuditFilter) -> int:
    """Reads as many entries as there are."""
    count: int = await queries.count_audit_entries(connection, **msgspec.structs.asdict(narrowed))
    return count


async def find_audit_place(connection: Connection, entry_id: int) -> AuditPlace | None:
    """None when there is no such entry."""
    at: datetime | None = await queries.find_audit_entry_at(connection, entry_id=entry_id)
    return None if at is None else AuditPlace(at, entry_id)
