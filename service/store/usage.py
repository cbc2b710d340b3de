"""What was used, summed up."""

from datetime import date

import msgspec

from service.store.postgres import Connection
from service.store.queries import queries


class ModelUsage(msgspec.Struct, frozen=True):
    """Sums of one model of a provider."""

    model: str
    provider: str
    total_requests: int
    total_tokens: int
    total_cost_nanousd: int


async def list_model_usage(connection: Connection, virtual_key_id: str, *, since: date) -> list[ModelUsage]:
    """Of the virtual key, from that day (UTC) on; the thousand most expensive."""
    rows = queries.list_model_usage(connection, virtual_key_id=virtual_key_id, since=since)
    return [msgspec.convert(dict(row), ModelUsage) async for row in rows]
