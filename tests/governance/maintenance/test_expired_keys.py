"""Virtual keys that are to be deleted when they have expired, are; all others stay."""

from datetime import timedelta

import pytest

from service.domain.inputs.virtual_keys import VirtualKeyUpdate
from service.governance.changes.change import Author, Change
from service.governance.changes.run import Answer, Changes
from service.governance.changes.virtual_keys import update_virtual_key
from service.governance.maintenance import expired_keys
from service.store.maintenance import VirtualKeyPlace, list_virtual_keys_to_delete
from service.store.postgres import Connection
from tests.conftest import Clock
from tests.factories import Factory
from tests.governance.maintenance.conftest import NOW, Maintain

A_MOMENT = timedelta(microseconds=1)


async def virtual_key_ids(connection: Connection) -> set[str]:
    return {row["id"] for row in await connection.fetch("SELECT id FROM virtual_keys")}


async def test_only_those_that_have_expired_and_are_to_be_deleted_go(
    connection: Connection, make: Factory, run: Maintain
) -> None:
    await make.virtual_key(id="gone", expires_at=NOW, delete_after_expire=True)
    await make.virtual_key(id="not-yet", expires_at=NOW + A_MOMENT, delete_after_expire=True)
    await make.virtual_key(id="stays", expires_at=NOW, delete_after_expire=False)
    await make.virtual_key(id="not-said", expires_at=NOW)
    await make.virtual_key(id="without-end", delete_after_expire=True)
    outcome = await run()
    assert await virtual_key_ids(connection) == {"not-yet", "stays", "not-said", "without-end"}
    assert "deleted 1 expired virtual keys" in [step.done() for step in outcome.steps]


async def test_the_audit_log_tells_of_each(connection: Connection, make: Factory, run: Maintain) -> None:
    customer_id = await make.customer()
    await make.virtual_key(id="gone", customer_id=customer_id, expires_at=NOW, delete_after_expire=True)
    await make.budget(virtual_key_id="gone")
    await run()
    (entry,) = await connection.fetch("SELECT * FROM audit_log")
    assert (entry["actor"], entry["action"], entry["entity_id"]) == ("maintain", "virtual_key.delete", "gone")
    assert entry["tenant_id"] == f"customer:{customer_id}"
    assert b"sk-bf" not in bytes(entry["changes"])


async def test_more_than_a_page_all_go(
    connection: Connection, make: Factory, run: Maintain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expired_keys, "_PAGE", 2)
    for number in range(5):
        await make.virtual_key(id=f"gone-{number}", expires_at=NOW, delete_after_expire=True)
    await run()
    assert await virtual_key_ids(connection) == set()


async def test_a_key_whose_expiry_was_moved_meanwhile_stays(
    connection: Connection, make: Factory, run: Maintain, changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of keys is read, then somebody edits one of them, then it would be deleted."""
    await make.virtual_key(id="edited", expires_at=NOW, delete_after_expire=True)
    await make.virtual_key(id="deleted", expires_at=NOW, delete_after_expire=True)

    async def edit(change: Change) -> Answer:
        return Answer(200, await update_virtual_key(change, "edited", VirtualKeyUpdate(delete_after_expire=False)))

    async def list_and_edit(connection: Connection, after: VirtualKeyPlace, **asked: object) -> list[VirtualKeyPlace]:
        found = await list_virtual_keys_to_delete(connection, after, **asked)  # type: ignore[arg-type]
        if found:
            await changes.run(edit, author=Author("ops", "request"))
            await connection.execute("DELETE FROM virtual_keys WHERE id = 'deleted'")
        return found

    monkeypatch.setattr(expired_keys, "list_virtual_keys_to_delete", list_and_edit)
    await run()
    assert await virtual_key_ids(connection) == {"edited"}


async def test_a_dry_run_counts_them_and_deletes_none(
    connection: Connection, make: Factory, run: Maintain, clock: Clock
) -> None:
    for number in range(3):
        await make.virtual_key(id=f"gone-{number}", expires_at=clock.now, delete_after_expire=True)
    outcome = await run(dry_run=True)
    assert len(await virtual_key_ids(connection)) == 3
    assert "would delete 3 expired virtual keys" in [step.planned() for step in outcome.steps]
    assert await connection.fetchval("SELECT count(*) FROM audit_log") == 0
