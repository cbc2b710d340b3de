"""What is booked, once it is: gateways report after they answered."""

from typing import Any

from service.store.postgres import Connection
from tests.waiting import until


async def booked(connection: Connection, *, number: int = 1) -> list[dict[str, Any]]:
    """The usage in the ledger, oldest first, when it is so many. Raises TimeoutError."""
    rows: list[Any] = []

    async def there() -> bool:
        rows[:] = await connection.fetch("SELECT * FROM usage_events ORDER BY recorded_at, request_id")
        return len(rows) >= number

    await until(there)
    assert len(rows) == number
    return [dict(row) for row in rows]
