"""`governance maintain` and what `migrate` does of it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.store.postgres import Connection, connect
from tests.conftest import ENCRYPTION_KEY

T = TypeVar("T")
PARTITIONS = "SELECT count(*) FROM usage_events_partitions"


class Governance:
    """The command on one database."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    def run(self, *arguments: str, **environment: str) -> Result:
        own = {"DATABASE_URL": self._database_url, "GOVERNANCE_ENCRYPTION_KEY": ENCRYPTION_KEY}
        return CliRunner().invoke(main, arguments, env=own | environment)

    def look(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async def look() -> T:
            connection = await connect(self._database_url)
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(look())

    def partitions(self) -> int:
        return int(self.look(lambda connection: connection.fetchval(PARTITIONS)))


@pytest.fixture
def governance(database_url: str) -> Governance:
    return Governance(database_url)


def test_it_says_what_it_does_and_then_that_nothing_is_left(governance: Governance) -> None:
    first = governance.run("maintain")
    assert (first.exit_code, governance.partitions()) == (0, 8)
    assert first.stdout.count("added the ledger's partition of ") == 8
    assert governance.run("maintain").stdout == "there is nothing to do\n"


def test_a_dry_run_says_it_and_does_nothing(governance: Governance) -> None:
    planned = governance.run("maintain", "--dry-run")
    assert planned.stdout.count("would add the ledger's partition of ") == 8
    assert governance.partitions() == 0


def test_how_long_the_ledger_is_kept_is_a_setting(governance: Governance) -> None:
    async def book_long_ago(connection: Connection) -> None:
        for days in (1, 20, 300):
            at = datetime.now(UTC) - timedelta(days=days)
            await connection.execute(
                "INSERT INTO usage_events (request_id, tenant_id, virtual_key_id, occurred_at, recorded_at) "
                "VALUES ('r', 't', 'k', $1, $1)",
                at,
            )

    governance.look(book_long_ago)
    for kept_days, left in (("0", 3), ("400", 3), ("100", 2), ("10", 1)):
        assert governance.run("maintain", GOVERNANCE_LEDGER_RETENTION=kept_days).exit_code == 0
        count = governance.look(lambda connection: connection.fetchval("SELECT count(*) FROM usage_events"))
        assert count == left


def test_a_migrated_database_has_the_partitions_of_today_and_the_days_ahead(governance: Governance) -> None:
    assert governance.run("migrate").exit_code == 0
    assert governance.partitions() == 8


def test_without_a_database_it_says_so(governance: Governance) -> None:
    refused = governance.run("maintain", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "Postgres does not answer" in refused.stderr
