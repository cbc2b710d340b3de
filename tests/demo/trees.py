"""Writing demo trees in tests, and looking at what is in the database then."""

from datetime import UTC, datetime
from typing import Any

from service.demo.rows import TABLES
from service.demo.shape import DemoShape
from service.demo.write import DemoSummary, write_demo_tree
from service.domain.sealing import Sealer
from service.store.postgres import Connection

# A Thursday afternoon: no calendar window began within the hour.
NOW = datetime(2026, 5, 14, 15, 20, 30, tzinfo=UTC)
DEFAULT = DemoShape()

# Random, numbered by the database, or the time of the writing.
_UNPREDICTABLE = ["value_sealed", "provider_config_id", "mcp_client_id", "recorded_at"]


async def write(
    connection: Connection, sealer: Sealer, shape: DemoShape = DEFAULT, *, now: datetime = NOW
) -> DemoSummary:
    return await write_demo_tree(connection, shape=shape, sealer=sealer, now=now, progress=lambda *_: None)


async def predictable_content(connection: Connection) -> dict[str, list[str]]:
    """All rows of the demo's tables and of the ledger as JSON, sorted, without what differs from run to run."""
    content = {}
    for table in (*TABLES.values(), "usage_requests", "usage_events", "usage_daily"):
        rows = await connection.fetch(
            f"SELECT to_jsonb(row) - $1::text[] - CASE jsonb_typeof(to_jsonb(row) -> 'id') "
            f"WHEN 'number' THEN 'id' ELSE '' END AS document FROM {table} AS row ORDER BY document",
            _UNPREDICTABLE,
        )
        content[table] = [bytes(row["document"]).decode() for row in rows]
    return content


async def whole_content(connection: Connection) -> dict[str, list[str]]:
    """Every row of every table there is, as JSON."""
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    content = {}
    for (table,) in tables:
        rows = await connection.fetch(f"SELECT to_jsonb(row) AS document FROM {table} AS row ORDER BY document")
        content[table] = [bytes(row["document"]).decode() for row in rows]
    return content


async def count_rows(connection: Connection, table: str, condition: str = "true", *values: Any) -> int:
    count: int = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE {condition}", *values)
    return count
