"""Import base prices of models: one transaction of all of them and the audit entry."""

from service.domain.price_file import PriceFile
from service.store.audit import AuditEntry, insert_audit_entry
from service.store.postgres import Connection
from service.store.prices import PriceChanges, upsert_model_prices


async def import_prices(
    connection: Connection, read: PriceFile, *, file_name: str, actor: str, dry_run: bool
) -> PriceChanges:
    """Models that are not in the file keep their prices. A dry run is undone."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        changes = await upsert_model_prices(connection, read.prices)
        if changes.added or changes.changed:
            await insert_audit_entry(connection, _audit_entry(changes, file_name=file_name, actor=actor))
    except BaseException:
        await transaction.rollback()
        raise
    await (transaction.rollback() if dry_run else transaction.commit())
    return changes


def _audit_entry(changes: PriceChanges, *, file_name: str, actor: str) -> AuditEntry:
    return AuditEntry(
        actor=actor,
        action="model_prices.import",
        entity_type="model_prices",
        entity_id=file_name,
        changes={"added": [0, changes.added], "changed": [0, changes.changed]},
    )
