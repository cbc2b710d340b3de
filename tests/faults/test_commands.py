"""The commands an operator runs on a new database, from the first to the last; what goes wrong is said in a line."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from service.cli import main
from service.domain.sealing import Sealer, new_encryption_key, parse_encryption_key
from service.encryption_key import load_or_make_encryption_key
from service.settings import VARIABLES
from service.store.api_tokens import find_api_token_by_hash
from service.store.postgres import connect
from tests.servers import Servers, create_empty_database, drop_database


class Governance:
    """The `governance` command on one database."""

    def __init__(self, database_url: str, encryption_key: str | None = None) -> None:
        key = new_encryption_key() if encryption_key is None else encryption_key
        self._environment = {"DATABASE_URL": database_url, "GOVERNANCE_ENCRYPTION_KEY": key}
        self.database_url = database_url

    def succeeds(self, *arguments: str) -> str:
        """What it says."""
        return self._run(*arguments, exit_code=0)

    def refuses(self, *arguments: str, exit_code: int = 1) -> str:
        return self._run(*arguments, exit_code=exit_code)

    def _run(self, *arguments: str, exit_code: int) -> str:
        result = CliRunner().invoke(main, arguments, env=self._environment)
        assert result.exit_code == exit_code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.output


@pytest.fixture
async def empty(servers: Servers) -> AsyncIterator[Governance]:
    """On a database without any migration."""
    url = await create_empty_database(servers)
    yield Governance(url)
    await drop_database(servers.postgres_url, urlsplit(url).path.removeprefix("/"))


@pytest.fixture
def migrated(empty: Governance) -> Governance:
    empty.succeeds("migrate")
    return empty


def test_help_names_every_command_and_setting() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    for word in (
        *VARIABLES.values(),
        "dev",
        "serve",
        "migrate",
        "maintain",
        "check",
        "demo",
        "token",
        "encryption-key",
    ):
        assert word in shown
    assert str(Path.home()) not in shown


def test_a_database_is_migrated_once(empty: Governance) -> None:
    assert empty.succeeds("migrate").startswith("applied 0001")
    assert empty.succeeds("migrate") == "the database is up to date\n"


@pytest.mark.parametrize(
    "arguments", [("demo",), ("token", "list"), ("token", "create", "--name", "x", "--scope", "read")]
)
def test_before_the_migration_a_command_says_what_is_missing(empty: Governance, arguments: tuple[str, ...]) -> None:
    assert "governance migrate" in empty.refuses(*arguments)


def test_a_demo_tree_is_written_once_for_each_seed(migrated: Governance) -> None:
    small = ("demo", "--customers", "2", "--teams", "1", "--keys", "1")
    assert "wrote 2 customers" in migrated.succeeds(*small)
    assert "already" in migrated.refuses(*small)
    assert "wrote 2 customers" in migrated.succeeds(*small, "--seed", "2")


def test_a_token_is_shown_once_listed_without_its_value_and_revoked(migrated: Governance) -> None:
    value = migrated.succeeds("token", "create", "--name", "first", "--scope", "admin").splitlines()[-1]
    listed = migrated.succeeds("token", "list")
    assert listed.split() == ["first", "admin", "active"]
    assert value not in listed
    assert migrated.succeeds("token", "revoke", "first") == "revoked first\n"
    assert migrated.succeeds("token", "list").split() == ["first", "admin", "revoked"]


def test_the_name_of_a_token_is_never_used_again(migrated: Governance) -> None:
    create = ("token", "create", "--name", "first", "--scope", "read")
    migrated.succeeds(*create)
    assert "'first'" in migrated.refuses(*create)
    migrated.succeeds("token", "revoke", "first")
    assert "'first'" in migrated.refuses(*create)
    assert "'first'" in migrated.refuses("token", "revoke", "first")


@pytest.mark.parametrize("arguments", [("demo",), ("token", "create", "--name", "x", "--scope", "read")])
def test_without_a_key_a_command_that_needs_one_says_so_and_makes_none(
    migrated: Governance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = Governance(migrated.database_url, "").refuses(*arguments, exit_code=2)
    assert "GOVERNANCE_ENCRYPTION_KEY is not set" in said
    assert "`governance encryption-key`" in said
    assert list(tmp_path.iterdir()) == []


def test_a_migration_needs_no_key(empty: Governance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Governance(empty.database_url, "").succeeds("migrate").startswith("applied 0001")
    assert list(tmp_path.iterdir()) == []


async def test_the_key_a_dev_run_left_here_is_used_and_named(
    migrated: Governance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = load_or_make_encryption_key(Path(".governance"))
    create = ("token", "create", "--scope", "read", "--name")
    said = await asyncio.to_thread(Governance(migrated.database_url, "").succeeds, *create, "x")
    assert ".governance/encryption.key" in said
    assert key not in said
    value = said.splitlines()[-1]
    connection = await connect(migrated.database_url)
    token_hash = Sealer(parse_encryption_key(key)).hash_api_token(value)
    assert await find_api_token_by_hash(connection, token_hash) is not None
    await connection.close()
    said = await asyncio.to_thread(migrated.succeeds, *create, "y")
    assert "GOVERNANCE_ENCRYPTION_KEY" in said
    assert ".governance" not in said


def test_a_database_that_does_not_answer_is_said_in_one_line() -> None:
    nowhere = Governance("postgresql://nobody@127.0.0.1:1/none")
    assert nowhere.refuses("migrate") == "Error: Postgres does not answer\n"
