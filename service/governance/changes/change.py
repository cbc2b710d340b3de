"""What a change works with: the open transaction, who makes it and when, and the audit log."""

from datetime import datetime
from uuid import uuid4

import msgspec

from service.domain.refusals import RefusedError
from service.domain.sealing import Sealer
from service.governance.configuration import Configuration, differences
from service.store.audit import AuditEntry, insert_audit_entry
from service.store.postgres import Connection


class Author(msgspec.Struct, frozen=True):
    """Who makes a change, as the audit log has it: the name of the token, and the id of the request."""

    name: str
    request_id: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change under way: all of it is committed, or nothing. `if_match` is the entity tag it was meant for."""

    connection: Connection
    sealer: Sealer
    now: datetime
    author: Author
    if_match: str | None = None

    def check_match(self, etag: str) -> None:
        """Raises RefusedError when the entity is no longer as the client last saw it."""
        if self.if_match is None or self.if_match.strip() == "*":
            return
        if etag not in (tag.strip() for tag in self.if_match.split(",")):
            raise RefusedError("stale", "The entity was changed since it was read: read it again")

    async def audit(
        self,
        action: str,
        entity: tuple[str, str],
        *,
        before: Configuration | None,
        after: Configuration | None,
        tenant_id: str | None = None,
    ) -> None:
        """Say what changed; `entity` is its type and id. A change of nothing is not written."""
        changes = differences(before, after)
        if changes:
            await self.note(action, entity, changes=changes, tenant_id=tenant_id)

    async def note(
        self, action: str, entity: tuple[str, str], *, changes: Configuration, tenant_id: str | None = None
    ) -> None:
        """Write `changes`, field by field `[before, after]`, as they are given."""
        entry = AuditEntry(
            actor=self.author.name,
            action=f"{entity[0]}.{action}",
            entity_type=entity[0],
            entity_id=entity[1],
            tenant_id=tenant_id,
            request_id=self.author.request_id,
            changes=changes,
        )
        await insert_audit_entry(self.connection, entry)


def new_id() -> str:
    return str(uuid4())
