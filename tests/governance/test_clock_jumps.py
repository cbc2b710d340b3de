"""A clock that is set back, or that differs between replicas, costs neither an answer nor any usage."""

from datetime import datetime, timedelta

from service.counters.client import CounterClient
from service.domain.sealing import Sealer
from service.domain.windows import window_at
from service.store.postgres import Connection, Store
from tests.conftest import Clock
from tests.factories import Factory, meter_of_budget
from tests.governance.using import Replica


async def budget_of(replica: Replica) -> tuple[int, datetime]:
    """`current_usage` in dollars and `last_reset` of the customer's budget."""
    budget = (await replica.customer("acme"))["budget"]
    return int(budget["current_usage"]), datetime.fromisoformat(budget["last_reset"])


async def test_a_clock_set_back_within_the_window_changes_nothing(
    replica: Replica, make: Factory, connection: Connection, clock: Clock
) -> None:
    await make.customer(id="acme")
    tenant_id, meter = await meter_of_budget(connection, await make.budget(customer_id="acme"))
    window = window_at(meter.rule, clock())
    clock.now = window.end - timedelta(seconds=1)
    await replica.book((tenant_id, meter, 2 * 10**9))
    assert await budget_of(replica) == (2, window.start)
    clock.now = window.start
    assert await budget_of(replica) == (2, window.start)
    await replica.book((tenant_id, meter, 10**9))
    assert await budget_of(replica) == (3, window.start)


async def test_a_clock_set_back_over_the_end_of_a_window_loses_nothing_of_either(
    replica: Replica, make: Factory, connection: Connection, clock: Clock
) -> None:
    await make.customer(id="acme")
    tenant_id, meter = await meter_of_budget(connection, await make.budget(customer_id="acme"))
    before = window_at(meter.rule, clock())
    await replica.book((tenant_id, meter, 2 * 10**9))
    assert await budget_of(replica) == (2, before.start)
    clock.now = before.end
    await replica.book((tenant_id, meter, 5 * 10**9))
    assert await budget_of(replica) == (5, before.end)
    clock.now = before.end - timedelta(seconds=1)
    await replica.book((tenant_id, meter, 10**9))
    await replica.read()
    clock.now = before.end
    assert await budget_of(replica) == (5, before.end)
    totals = await connection.fetch("SELECT used FROM meter_windows ORDER BY window_start")
    assert [row["used"] for row in totals] == [3 * 10**9, 5 * 10**9]


async def test_a_replica_whose_clock_is_behind_leaves_the_others_window_alone(
    store: Store, counters: CounterClient, sealer: Sealer, make: Factory, connection: Connection
) -> None:
    await make.customer(id="acme")
    tenant_id, meter = await meter_of_budget(connection, await make.budget(customer_id="acme"))
    ahead, behind = Clock(), Clock()
    window = window_at(meter.rule, ahead())
    ahead.now = window.end
    behind.now = ahead.now - timedelta(seconds=1)
    replicas = [Replica(store, counters, sealer=sealer, clock=clock) for clock in (ahead, behind)]
    await replicas[0].book((tenant_id, meter, 4 * 10**9))
    for _ in range(3):
        # Finds Redis in a later window than its own: not its usage to show, nor its to put back.
        assert await budget_of(replicas[1]) == (0, window.start)
        await replicas[1].book((tenant_id, meter, 1))
        assert await budget_of(replicas[0]) == (4, window.end)


async def test_an_override_never_shows_more_cycles_than_it_was_given(
    replica: Replica, make: Factory, clock: Clock
) -> None:
    await make.customer(id="acme")
    override = {"override_mode": "cycles", "override_amount_nanousd": 1, "override_cycles_total": 3}
    await make.budget(customer_id="acme", override_anchor_reset=clock(), **override)
    clock.forward(days=-2)
    assert (await replica.customer("acme"))["budget"]["override_cycles_remaining"] == 3
