"""Usage follows a virtual key that moves, and nothing it left behind is read again when it comes back."""

from collections.abc import Awaitable, Callable

import pytest

from service.counters.client import CounterClient
from service.counters.meters import merge_windows
from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.conftest import Clock, TestApi
from tests.factories import Factory, meter_of_budget, usage_event

_DOLLAR_NANOUSD = 1_000_000_000
Use = Callable[[str, str], Awaitable[None]]


@pytest.fixture
def use(connection: Connection, counters: CounterClient, clock: Clock) -> Use:
    """Book a dollar on a budget under a request id, and merge it."""
    clock.forward(minutes=1)  # after what the test makes

    async def use(budget_id: str, request_id: str) -> None:
        tenant_id, meter = await meter_of_budget(connection, budget_id)
        event = usage_event(request_id, (tenant_id, meter, _DOLLAR_NANOUSD), at=clock())
        recorded = await record_usage(connection, [event])
        await merge_windows(counters, recorded.windows)

    return use


async def _seen(api: TestApi, customer_id: str) -> list[float]:
    """The budget usage of each virtual key directly under the customer."""
    answer = await (await api.get(f"/api/governance/customers/{customer_id}")).json()
    return [key["budget"]["current_usage"] for key in answer["customer"]["virtual_keys"]]


async def test_usage_is_right_at_once_after_every_move_there_and_back(
    api: TestApi, connection: Connection, make: Factory, use: Use
) -> None:
    here, there = await make.customer(), await make.customer()
    key = await make.virtual_key(customer_id=here)
    budget = await make.budget(virtual_key_id=key)
    await use(budget, "before")
    assert await _seen(api, here) == [1]

    await connection.execute("UPDATE virtual_keys SET customer_id = $1 WHERE id = $2", there, key)
    assert (await _seen(api, here), await _seen(api, there)) == ([], [1])
    await use(budget, "while there")
    assert await _seen(api, there) == [2]

    await connection.execute("UPDATE virtual_keys SET customer_id = $1 WHERE id = $2", here, key)
    assert (await _seen(api, here), await _seen(api, there)) == ([2], [])


async def test_usage_booked_under_the_former_tenant_reaches_the_one_the_key_is_in(
    api: TestApi, connection: Connection, counters: CounterClient, make: Factory, use: Use, clock: Clock
) -> None:
    here, there = await make.customer(), await make.customer()
    key = await make.virtual_key(customer_id=here)
    budget = await make.budget(virtual_key_id=key)
    await use(budget, "before")
    former_tenant_id, meter = await meter_of_budget(connection, budget)
    await connection.execute("UPDATE virtual_keys SET customer_id = $1 WHERE id = $2", there, key)
    assert await _seen(api, there) == [1]
    # A call that was admitted before the move is settled after it.
    late = usage_event("late", (former_tenant_id, meter, _DOLLAR_NANOUSD), at=clock())
    recorded = await record_usage(connection, [late])
    await merge_windows(counters, recorded.windows)
    assert await _seen(api, there) == [2]


async def test_a_tenant_made_again_under_the_same_id_does_not_inherit_counters(
    api: TestApi, connection: Connection, make: Factory, use: Use
) -> None:
    for attempt in range(2):
        await make.customer(id="again")
        budget = await make.budget(id="budget again", customer_id="again")
        answer = await (await api.get("/api/governance/customers/again")).json()
        assert answer["customer"]["budget"]["current_usage"] == 0
        await use(budget, f"once {attempt}")
        await connection.execute("DELETE FROM customers WHERE id = 'again'")
        await connection.execute("DELETE FROM meter_windows")
