"""Migrations: numbered .sql files, each applied once, in order, in a transaction of its own.

A file that was applied is never edited: its content's SHA-256 is kept, and a changed, missing or skipped file is
refused by name. Any number of replicas may migrate at once: an advisory lock lets one do the work.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import msgspec

from service.store.postgres import Connection
from service.store.queries import queries, sql_folder

# An arbitrary constant: no other advisory lock of this database uses it.
_LOCK_ID = 4_701_201_977
_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class MigrationError(Exception):
    """The files and the database disagree; the message names the migration."""


class Migration(msgspec.Struct, frozen=True):
    version: int
    name: str
    sha256: str
    sql: str


def read_migrations(folder: Path | None = None) -> list[Migration]:
    """The migrations of this version, in order. Raises MigrationError for a stray name or a gap in the numbers."""
    migrations = [_read(path) for path in sorted((folder or sql_folder() / "migrations").glob("*.sql"))]
    for expected, migration in enumerate(migrations, start=1):
        if migration.version != expected:
            raise MigrationError(f"migration {migration.name} should be number {expected:04d}")
    return migrations


async def migrate(connection: Connection, migrations: Sequence[Migration]) -> list[str]:
    """Apply what is missing and answer the names applied. Raises MigrationError before anything is applied."""
    async with connection.transaction():
        await queries.lock_migrations(connection, lock_id=_LOCK_ID)
        await queries.create_schema_migrations(connection)
    applied = []
    while name := await _apply_next(connection, migrations):
        applied.append(name)
    return applied


async def missing_migrations(connection: Connection, migrations: Sequence[Migration]) -> list[str]:
    """Names of this version's migrations the database lacks.

    A database that is ahead is fine: while a roll-out is under way the older version runs against the newer schema.
    """
    applied = {row["version"] async for row in queries.list_applied_migrations(connection)}
    return [migration.name for migration in migrations if migration.version not in applied]


async def unknown_migrations(connection: Connection, migrations: Sequence[Migration]) -> list[str]:
    """Names of those the database has and this version does not."""
    known = {migration.version for migration in migrations}
    return [row["name"] async for row in queries.list_applied_migrations(connection) if row["version"] not in known]


async def _apply_next(connection: Connection, migrations: Sequence[Migration]) -> str | None:
    async with connection.transaction():
        await queries.lock_migrations(connection, lock_id=_LOCK_ID)
        applied = [
            (row["version"], row["name"], row["sha256"]) async for row in queries.list_applied_migrations(connection)
        ]
        _check_history(applied, migrations)
        if len(applied) == len(migrations):
            return None
        migration = migrations[len(applied)]
        try:
            await connection.execute(migration.sql)
        except asyncpg.PostgresError as error:
            raise MigrationError(f"migration {migration.name} failed: {error}") from error
        await queries.insert_applied_migration(
            connection, version=migration.version, name=migration.name, sha256=migration.sha256
        )
    return migration.name


def _check_history(applied: Sequence[tuple[int, str, str]], migrations: Sequence[Migration]) -> None:
    known = {migration.version: migration for migration in migrations}
    for position, (version, name, sha256) in enumerate(applied, start=1):
        if version != position:
            raise MigrationError(f"the database lacks migration {position:04d} but has {name}")
        if version not in known:
            raise MigrationError(f"the database has migration {name}, which this version does not know")
        if known[version].sha256 != sha256:
            raise MigrationError(f"migration {name} was changed after it was applied")


def _read(path: Path) -> Migration:
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise MigrationError(f"migration {path.name} should be named like 0001_what_it_does.sql")
    sql = path.read_text(encoding="utf-8")
    return Migration(
        version=int(match[1]),
        name=path.stem,
        sha256=hashlib.sha256(sql.encode()).hexdigest(),
        sql=sql,
    )
