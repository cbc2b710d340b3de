"""Budgets, what is spent of them, and the alerts that fired."""

from datetime import datetime
from itertools import count
from typing import Any

from service.domain.alerts import Alert
from service.domain.meters import Meter
from service.store.alerts import AlertFilter, AlertPlace, list_alerts
from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.factories import meter_of_budget, usage_event

_NUMBERS = count(1)


async def spend(connection: Connection, budget_id: str, amount_nanousd: int, *, at: datetime) -> None:
    """One request, booked."""
    owned = await meter_of_budget(connection, budget_id)
    await spend_on(connection, owned, amount_nanousd, at=at)


async def spend_on(connection: Connection, owned: tuple[str, Meter], amount_nanousd: int, *, at: datetime) -> None:
    """As `spend`, of a meter as it was: its budget may have gone on."""
    await record_usage(connection, [usage_event(f"spend-{next(_NUMBERS)}", (*owned, amount_nanousd), at=at)])


async def fired(connection: Connection, **narrowed: Any) -> list[Alert]:
    """Oldest first."""
    alerts = await list_alerts(connection, AlertFilter(**narrowed), after=AlertPlace(), limit=1000)
    return sorted(alerts, key=lambda alert: alert.id)


def digits(amount_usd: Any) -> str:
    """Of an amount as it goes over the wire."""
    return bytes(amount_usd).decode()


async def percents(connection: Connection, **narrowed: Any) -> list[int]:
    return sorted(alert.threshold_percent for alert in await fired(connection, **narrowed))
