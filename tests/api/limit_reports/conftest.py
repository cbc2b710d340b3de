"""Customer acme, its team research, the team's virtual key bot."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain.meters import Meter
from service.store.postgres import Connection
from tests.factories import Factory, meter_of_budget


@pytest.fixture
async def tree(make: Factory) -> None:
    """Customer acme, its team research, the team's virtual key bot."""
    await make.customer(id="acme", name="Acme", max_parallel_requests=9)
    await make.team(id="research", name="Research", customer_id="acme")
    await make.virtual_key(id="bot", name="Bot", team_id="research")


@pytest.fixture
async def budget(connection: Connection, tree: None, make: Factory) -> Meter:
    """The meter of the customer's budget of 10 USD a day, begun three hours ago."""
    anchor = datetime.now(UTC) - timedelta(hours=3)
    await make.budget(id="b", customer_id="acme", anchored_at=anchor, created_at=anchor)
    return (await meter_of_budget(connection, "b"))[1]
