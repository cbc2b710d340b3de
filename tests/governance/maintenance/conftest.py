"""A ledger to maintain, at a time of these tests' own."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from service.domain.sealing import Sealer
from service.governance.changes.run import Changes
from service.governance.maintenance.run import Outcome, Plan, maintain
from service.governance.maintenance.work import Retention
from service.store.postgres import Connection, Store
from tests.conftest import Clock

NOW = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
RETENTION = Retention(ledger_days=30, idempotency_days=7)

Maintain = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = NOW
    return clock


@pytest.fixture
def changes(store: Store, sealer: Sealer, clock: Clock) -> Changes:
    return Changes(store, sealer=sealer, clock=clock)


@pytest.fixture
def run(database_url: str, changes: Changes, clock: Clock) -> Maintain:
    """Maintain at the clock's time; what is to be done otherwise is given."""

    async def run(**plan: Any) -> Outcome:
        given: dict[str, Any] = {"now": clock(), "retention": RETENTION} | plan
        return await maintain(database_url, changes, Plan(**given))

    return run


async def book_at(connection: Connection, *times: datetime) -> None:
    """An event of the ledger at each time, as one that was booked then."""
    await connection.executemany(
        "INSERT INTO usage_events (request_id, tenant_id, virtual_key_id, occurred_at, recorded_at) "
        "VALUES ('at ' || $1::timestamptz, 'customer:none', 'none', $1, $1)",
        [(time,) for time in times],
    )


async def partitions(connection: Connection) -> dict[str, list[datetime]]:
    """What is in each partition of the ledger, in order."""
    names = await connection.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'usage_events'::regclass "
        "ORDER BY name"
    )
    return {
        row["name"].removeprefix("usage_events_"): [
            event["recorded_at"]
            for event in await connection.fetch(f"SELECT recorded_at FROM {row['name']} ORDER BY recorded_at, id")
        ]
        for row in names
    }


async def booked(connection: Connection) -> list[datetime]:
    """All of the ledger."""
    rows = await connection.fetch("SELECT recorded_at FROM usage_events ORDER BY recorded_at, id")
    return [row["recorded_at"] for row in rows]
