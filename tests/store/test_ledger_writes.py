"""What booking costs Postgres does not grow with the indexes of what it adds to."""

from datetime import UTC, datetime

import pytest

from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.factories import Factory, meter_of_budget, usage_event

TIMES = 20
UPDATES = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1"


@pytest.mark.parametrize("table", ["meter_windows", "usage_hourly", "usage_daily", "usage_daily_by_owner"])
async def test_a_sum_is_changed_without_its_indexes(connection: Connection, make: Factory, table: str) -> None:
    if connection.get_server_version().major < 16:
        pytest.skip("Postgres 15 touches every index of a row when one of them summarizes what changed")
    budget = await meter_of_budget(connection, await make.budget(team_id=await make.team()))
    before = await updates_of(connection, table)
    now = datetime.now(UTC)
    # One transaction each: within one, the instant of the last change stays the same.
    for number in range(TIMES + 1):
        await record_usage(connection, [usage_event(f"r{number}", (*budget, 1), at=now)])
    after = await updates_of(connection, table)
    assert [count - earlier for count, earlier in zip(after, before, strict=True)] == [TIMES, TIMES]


async def updates_of(connection: Connection, table: str) -> tuple[int, int]:
    """All of them, and those that stayed within their page and out of the indexes."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    row = await connection.fetchrow(UPDATES, table)
    assert row is not None
    return row["n_tup_upd"], row["n_tup_hot_upd"]
