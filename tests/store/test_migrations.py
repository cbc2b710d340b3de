"""Migrations: each applied once, in order, whoever else migrates; what does not fit is refused by name."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.store.migrations import Migration, MigrationError, migrate, missing_migrations, read_migrations
from service.store.postgres import Connection, connect

TABLES = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"


@pytest.fixture
async def empty(empty_database_url: str) -> AsyncIterator[Connection]:
    connection = await connect(empty_database_url)
    yield connection
    await connection.close()


def written(folder: Path, **files: str) -> list[Migration]:
    """The migrations of a folder with these files besides those already there."""
    for stem, sql in files.items():
        (folder / f"{stem.removeprefix('m')}.sql").write_text(sql, encoding="utf-8")
    return read_migrations(folder)


def three_migrations(folder: Path) -> list[Migration]:
    return written(
        folder, m0001_one="CREATE TABLE one ()", m0002_two="CREATE TABLE two ()", m0003_three="CREATE TABLE three ()"
    )


async def applied_names(connection: Connection) -> list[str]:
    return [row["name"] for row in await connection.fetch("SELECT name FROM schema_migrations ORDER BY version")]


async def test_a_new_database_gets_every_migration_in_order(empty: Connection) -> None:
    migrations = read_migrations()
    names = [migration.name for migration in migrations]
    assert await migrate(empty, migrations) == names
    assert await applied_names(empty) == names
    assert await missing_migrations(empty, migrations) == []


async def test_migrating_again_changes_nothing(empty: Connection) -> None:
    migrations = read_migrations()
    await migrate(empty, migrations)
    before = await empty.fetch("SELECT * FROM schema_migrations ORDER BY version")
    assert await migrate(empty, migrations) == []
    assert await empty.fetch("SELECT * FROM schema_migrations ORDER BY version") == before


async def test_ten_replicas_that_migrate_at_once_apply_each_migration_once(empty_database_url: str) -> None:
    migrations = read_migrations()
    replicas = await asyncio.gather(*(connect(empty_database_url) for _ in range(10)))
    applied = await asyncio.gather(*(migrate(replica, migrations) for replica in replicas))
    assert sorted(name for names in applied for name in names) == [migration.name for migration in migrations]
    assert await applied_names(replicas[0]) == [migration.name for migration in migrations]
    await asyncio.gather(*(replica.close() for replica in replicas))


async def test_only_what_is_missing_is_applied(empty: Connection, tmp_path: Path) -> None:
    migrations = three_migrations(tmp_path)
    await migrate(empty, migrations[:1])
    assert await missing_migrations(empty, migrations) == ["0002_two", "0003_three"]
    assert await migrate(empty, migrations) == ["0002_two", "0003_three"]


async def test_a_file_changed_after_it_was_applied_is_refused_by_name(empty: Connection, tmp_path: Path) -> None:
    await migrate(empty, three_migrations(tmp_path)[:2])
    changed = written(tmp_path, m0002_two="CREATE TABLE two (column_that_was_not_there text)")
    with pytest.raises(MigrationError, match="0002_two was changed after it was applied"):
        await migrate(empty, changed)
    assert await applied_names(empty) == ["0001_one", "0002_two"]


async def test_a_database_with_a_migration_this_version_lacks_is_refused_by_name(
    empty: Connection, tmp_path: Path
) -> None:
    migrations = three_migrations(tmp_path)
    await migrate(empty, migrations)
    with pytest.raises(MigrationError, match="0003_three, which this version does not know"):
        await migrate(empty, migrations[:2])


async def test_a_database_that_skipped_a_migration_is_refused_by_name(empty: Connection, tmp_path: Path) -> None:
    migrations = three_migrations(tmp_path)
    await migrate(empty, migrations)
    await empty.execute("DELETE FROM schema_migrations WHERE version = 2")
    with pytest.raises(MigrationError, match="lacks migration 0002 but has 0003_three"):
        await migrate(empty, migrations)
    assert await missing_migrations(empty, migrations) == ["0002_two"]


async def test_a_failing_migration_leaves_nothing_behind(empty: Connection, tmp_path: Path) -> None:
    three_migrations(tmp_path)
    broken = written(tmp_path, m0002_two="CREATE TABLE half (); CREATE TABLE one ();")
    with pytest.raises(MigrationError, match='0002_two failed: relation "one" already exists'):
        await migrate(empty, broken)
    assert await empty.fetchval("SELECT to_regclass('half')") is None
    assert await applied_names(empty) == ["0001_one"]


async def test_a_mended_migration_is_applied_where_it_failed(empty: Connection, tmp_path: Path) -> None:
    three_migrations(tmp_path)
    with pytest.raises(MigrationError):
        await migrate(empty, written(tmp_path, m0002_two="CREATE TABLE one ()"))
    assert await migrate(empty, three_migrations(tmp_path)) == ["0002_two", "0003_three"]


async def test_a_refused_history_changes_nothing(empty: Connection, tmp_path: Path) -> None:
    await migrate(empty, three_migrations(tmp_path)[:1])
    before = await empty.fetchval(TABLES)
    with pytest.raises(MigrationError):
        await migrate(empty, written(tmp_path, m0001_one="CREATE TABLE uno ()"))
    assert await empty.fetchval(TABLES) == before


async def test_an_older_version_works_with_a_newer_database(empty: Connection, tmp_path: Path) -> None:
    migrations = three_migrations(tmp_path)
    await migrate(empty, migrations)
    assert await missing_migrations(empty, migrations[:2]) == []


def test_the_files_are_read_in_order_with_their_hash(tmp_path: Path) -> None:
    one, two, three = three_migrations(tmp_path)
    assert [one.name, two.name, three.name] == ["0001_one", "0002_two", "0003_three"]
    assert [one.version, two.version, three.version] == [1, 2, 3]
    assert two.sha256 == hashlib.sha256(two.sql.encode()).hexdigest()


def test_a_gap_in_the_numbers_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="0003_three should be number 0002"):
        written(tmp_path, m0001_one="", m0003_three="")


def test_two_files_of_one_number_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="0001_uno should be number 0002"):
        written(tmp_path, m0001_one="", m0001_uno="")


@pytest.mark.parametrize("name", ["1_one", "0001-one", "0001_One", "0001_", "one", "0001_one.up"])
def test_a_file_that_is_not_named_like_a_migration_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(MigrationError, match=f"migration {name}.sql should be named like 0001_what_it_does.sql"):
        written(tmp_path, **{name: ""})


def test_the_service_s_own_migrations_are_numbered_without_a_gap() -> None:
    migrations = read_migrations()
    assert [migration.version for migration in migrations] == list(range(1, len(migrations) + 1))
