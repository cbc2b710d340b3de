"""The audit log: who changed what, from what to what, in the transaction of the change itself."""

from collections.abc import Mapping

import msgspec

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
