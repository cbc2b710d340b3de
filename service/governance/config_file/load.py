"""Import a file: one transaction of all it changes, or of nothing."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from service.domain.config_file.entries import Entity
from service.domain.config_file.findings import FaultyFileError, Findings
from service.domain.config_file.inputs import with_key_ids
from service.domain.config_file.paths import path_in_file
from service.domain.config_file.read import KINDS, ConfigFile, all_entities
from service.domain.config_file.references import Reference
from service.domain.refusals import RefusedError
from service.domain.sealing import Sealer
from service.governance.changes.change import Author, Change, new_id
from service.governance.config_file.apply import apply_entity
from service.governance.config_file.catalogue import Stored
from service.governance.config_file.outcome import Outcome
from service.governance.config_file.prune import free_moved_limits, prune_entities, prune_limits
from service.governance.config_file.stored import LOADS
from service.store.config_file import PIECE, find_entities, find_provider_keys, lock_config_import
from service.store.postgres import Connection
from service.store.refusals import translated_refusals

AUTHOR = "config file"


async def import_config(
    connection: Connection, file: ConfigFile, *, sealer: Sealer, now: datetime, dry_run: bool
) -> Outcome:
    """A dry run is undone. Raises FaultyFileError, and ConcurrentChangeError when another change was in the way."""
    change = Change(connection=connection, sealer=sealer, now=now, author=Author(AUTHOR, new_id()))
    outcome = Outcome(warnings=file.warnings)
    transaction = connection.transaction()
    await transaction.start()
    try:
        with translated_refusals():
            await lock_config_import(connection)
            await _check_outside(connection, file.outside)
            await _import(change, file, outcome)
    except RefusedError as error:
        await transaction.rollback()
        raise _fault(error, error.path or "$") from error
    except BaseException:
        await transaction.rollback()
        raise
    await (transaction.rollback() if dry_run else transaction.commit())
    return outcome


async def _import(change: Change, file: ConfigFile, outcome: Outcome) -> None:
    if file.is_authoritative:
        await prune_entities(change, file, outcome)
    await free_moved_limits(change, file, outcome)
    # What is made is shown in the order of creation: in the file's, then.
    first = change.now - timedelta(microseconds=sum(1 for _ in all_entities(file)))
    stamps = (first + timedelta(microseconds=number) for number in range(1, 2**63))
    for kind in KINDS:
        entities = file.entities.get(kind, [])
        for first_of_piece in range(0, len(entities), PIECE):
            piece = entities[first_of_piece : first_of_piece + PIECE]
            await _apply_piece(change, piece, file=file, stamps=stamps, outcome=outcome)
    if file.is_authoritative:
        await prune_limits(change, file, outcome)


async def _apply_piece(
    change: Change, piece: Sequence[Entity], *, file: ConfigFile, stamps: Iterator[datetime], outcome: Outcome
) -> None:
    stored = await _load(change, piece)
    piece = await _with_key_names(change.connection, piece)
    for entity, before in zip(piece, stored, strict=True):
        at = msgspec.structs.replace(change, now=next(stamps))
        try:
            with translated_refusals():
                await apply_entity(at, entity, before, file=file, outcome=outcome)
        except RefusedError as error:
            raise _fault(error, path_in_file(error.path, entity, {})) from error


def _fault(error: RefusedError, path: str) -> FaultyFileError:
    findings = Findings()
    findings.refuse(path, error.message)
    return FaultyFileError(findings)


async def _load(change: Change, piece: Sequence[Entity]) -> list[Stored | None]:
    """Each as it is stored. A provider key is found by its id, if it has one in the file, or by its name."""
    names = [entity.id for entity in piece]
    ids = [entity.entry.id for entity in piece if entity.kind == "provider_key" and entity.entry.id is not None]
    loaded = await LOADS[piece[0].kind](change.connection, [*names, *ids], change.sealer)
    by_row_id = {stored.row_id: stored for stored in loaded.values()} if ids else {}
    return [by_row_id.get(getattr(entity.entry, "id", None) or "") or loaded.get(entity.id) for entity in piece]


async def _with_key_names(connection: Connection, piece: Sequence[Entity]) -> list[Entity]:
    """Virtual keys with the names of the provider keys they are pinned to, where the file has ids."""
    if piece[0].kind != "virtual_key":
        return list(piece)
    pinned = {name for entity in piece for config in entity.entry.provider_configs for name in config.key_ids}
    ids = await find_provider_keys(connection, list(pinned))
    names = {key_id: name for name, key_id in ids.items()} | {name: name for name in ids}
    return [with_key_ids(entity, names) for entity in piece]


async def _check_outside(connection: Connection, references: Sequence[Reference]) -> None:
    """Raises FaultyFileError for what names something that is neither in the file nor in the database."""
    findings = Findings()
    for first in range(0, len(references), PIECE):
        piece = references[first : first + PIECE]
        found = await find_entities(connection, [(reference.kind, reference.name) for reference in piece])
        for reference in piece:
            if (reference.kind, reference.name) not in found:
                findings.refuse(reference.path, reference.fault)
    findings.stop_at_faults()
