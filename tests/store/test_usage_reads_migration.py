"""0014: what was recorded before it is in its sums, and what was carried before it is told apart."""

from collections.abc import AsyncIterator

import pytest

from service.store.migrations import migrate, read_migrations
from service.store.postgres import Connection, connect
from tests.store.test_ledger_sums import SUMS, assert_explained

VERSION = 14
# Three hours of two days, with what the version before kept of them.
RECORDED = """
    INSERT INTO usage_events (request_id, tenant_id, virtual_key_id, team_id, customer_id, provider, model, status,
                              input_tokens, output_tokens, cached_input_tokens, cost_nanousd, occurred_at,
                              charge_meter_ids, charge_epochs, charge_window_starts, charge_amounts)
    SELECT 'r' || number, 'customer:c', 'key-' || number % 3, CASE WHEN number % 2 = 0 THEN 't' END, 'c', 'openai',
           'gpt-4o', CASE WHEN number % 5 = 0 THEN 'error' ELSE 'success' END, number, 2 * number, number / 2,
           7 * number, '2026-03-04 22:30Z'::timestamptz + number * interval '5 minutes', '{budget:b,tokens:l}', '{1,2}',
           '{2026-03-01 00:00Z,2026-03-01 00:00Z}', ARRAY [7 * number, 3 * number]
      FROM generate_series(1, 30) AS number;
    INSERT INTO usage_daily
    SELECT (occurred_at AT TIME ZONE 'UTC')::date, tenant_id, virtual_key_id, provider, model, team_id, customer_id,
           count(*), count(*) FILTER (WHERE status IN ('error', 'cancelled')), sum(input_tokens), sum(output_tokens),
           sum(cached_input_tokens), sum(cost_nanousd)
      FROM usage_events GROUP BY 1, 2, 3, 4, 5, 6, 7;
    INSERT INTO meter_windows (meter_id, epoch, window_start, used) VALUES
        ('budget:b', 1, '2026-03-01 00:00Z', 7 * 465), ('tokens:l', 2, '2026-03-01 00:00Z', 3 * 465 + 40),
        ('budget:nobody', 1, '2026-03-01 00:00Z', 5);
"""


@pytest.fixture
async def migrated_before(empty_database_url: str) -> AsyncIterator[Connection]:
    connection = await connect(empty_database_url)
    await migrate(connection, [migration for migration in read_migrations() if migration.version < VERSION])
    yield connection
    await connection.close()


async def test_what_was_recorded_before_is_in_the_sums(migrated_before: Connection) -> None:
    await migrated_before.execute(RECORDED)
    await migrate(migrated_before, read_migrations())
    for kept, derived in SUMS:
        await assert_explained(migrated_before, kept, derived)


async def test_what_was_carried_before_is_told_apart(migrated_before: Connection) -> None:
    await migrated_before.execute(RECORDED)
    await migrate(migrated_before, read_migrations())
    carried = await migrated_before.fetch("SELECT meter_id, carried FROM meter_windows ORDER BY meter_id")
    assert [tuple(row) for row in carried] == [("budget:b", 0), ("budget:nobody", 5), ("tokens:l", 40)]
