"""Reading limits, and booking usage of them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from service.counters.client import CounterClient
from service.counters.meters import merge_windows
from service.domain.meters import Meter
from service.domain.usage import UsageEvent
from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.api.calls import API
from tests.conftest import TestApi
from tests.factories import usage_event

TENANT = "customer:acme"
OWNERS = {"customer_id": "acme", "team_id": "research", "virtual_key_id": "bot"}
USD = 10**9


async def read(api: TestApi, path: str = "customers/acme", **query: Any) -> list[Any]:
    response = await api.get(f"{API}/{path}/limits", params=query)
    text = await response.text()
    assert response.status == 200, text
    assert response.headers["X-Governance-Usage-Source"] == "live"
    answer = json.loads(text, parse_float=Decimal)
    assert answer["count"] == len(answer["limits"])
    return list(answer["limits"])


async def read_budget(api: TestApi, **query: Any) -> Any:
    (budget,) = [limit for limit in await read(api, **query) if limit["id"] == "b"]
    return budget


async def use(connection: Connection, counters: CounterClient | None, events: Sequence[UsageEvent]) -> None:
    """Recorded, and merged into Redis when its client is given."""
    recorded = await record_usage(connection, events)
    if counters is not None:
        await merge_windows(counters, recorded.windows)


def events_of(meter: Meter, *amounts: int, first: int = 0, at: datetime | None = None) -> list[UsageEvent]:
    """One event of the virtual key for each amount."""
    when = at or datetime.now(UTC)
    return [
        usage_event(f"r-{number}", (TENANT, meter, amount), at=when, **OWNERS)
        for number, amount in enumerate(amounts, first)
    ]


def found(limit: Any) -> list[tuple[str, Any]]:
    """The differences of an explanation, by reason."""
    return [(difference["reason"], difference["amount"]) for difference in limit["explain"]["differences"]]
