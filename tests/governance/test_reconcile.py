"""The reconciler: Redis comes level with the ledger whatever was lost between the two."""

from datetime import UTC, datetime

from redis.asyncio import Redis

from service.counters.client import CounterClient
from service.counters.meters import UNKNOWN_VERSION, merge_windows, read_tenants
from service.domain.meters import MeterWindow
from service.governance.reconcile import Reconciler
from service.store.ledger import record_usage
from service.store.postgres import Connection, Store
from tests.factories import Factory, meter_of_budget, usage_event


async def _book(connection: Connection, make: Factory, amount_nanousd: int) -> MeterWindow:
    """Book usage on a new customer's budget and do not merge it: a worker died between the two."""
    customer_id = await make.customer()
    budget_id = await make.budget(customer_id=customer_id)
    tenant_id, meter = await meter_of_budget(connection, budget_id)
    event = usage_event(f"of {budget_id}", (tenant_id, meter, amount_nanousd), at=datetime.now(UTC))
    return (await record_usage(connection, [event])).windows[0]


async def _used(counters: CounterClient, window: MeterWindow) -> int | None:
    read = await read_tenants(counters, {window.tenant: UNKNOWN_VERSION})
    state = read[window.tenant].state_of(window.meter_id)
    return None if state is None else state.used


async def test_usage_that_was_booked_but_never_merged_reaches_redis(
    connection: Connection, make: Factory, store: Store, counters: CounterClient
) -> None:
    reconciler = Reconciler(store, counters)
    await reconciler.reconcile()
    window = await _book(connection, make, 7)
    assert await _used(counters, window) is None
    await reconciler.reconcile()
    assert await _used(counters, window) == 7
    assert reconciler.drift_meters == 1


async def test_what_is_level_is_not_counted_as_drift(
    connection: Connection, make: Factory, store: Store, counters: CounterClient
) -> None:
    await merge_windows(counters, [await _book(connection, make, 7)])
    reconciler = Reconciler(store, counters)
    await reconciler.reconcile()
    assert reconciler.drift_meters == 0


async def test_another_run_of_redis_is_brought_level_with_old_usage_too(
    connection: Connection, make: Factory, store: Store, counters: CounterClient, redis: Redis
) -> None:
    window = await _book(connection, make, 7)
    await connection.execute("UPDATE meter_windows SET updated_at = now() - interval '20 days'")
    await redis.set("gov:reconciled_run", "the run before the restart")
    await Reconciler(store, counters).reconcile()
    assert await _used(counters, window) == 7


async def test_what_changed_while_redis_did_not_answer_is_merged_however_long_that_was(
    connection: Connection, make: Factory, store: Store, counters: CounterClient, redis: Redis
) -> None:
    reconciler = Reconciler(store, counters)
    await reconciler.reconcile()
    window = await _book(connection, make, 7)
    await connection.execute("UPDATE meter_windows SET updated_at = now() - interval '2 hours'")
    run_id, began_us = str(await redis.get("gov:reconciled_run"), "ascii").split()  # type: ignore[arg-type]  # bytes
    await redis.set("gov:reconciled_run", f"{run_id} {int(began_us) - 3 * 3600 * 1_000_000}")
    await reconciler.reconcile()
    assert await _used(counters, window) == 7


async def test_a_run_that_was_reconciled_is_not_read_from_the_beginning_again(
    connection: Connection, make: Factory, store: Store, counters: CounterClient, redis: Redis
) -> None:
    reconciler = Reconciler(store, counters)
    await reconciler.reconcile()
    window = await _book(connection, make, 7)
    await connection.execute("UPDATE meter_windows SET updated_at = now() - interval '20 days'")
    await reconciler.reconcile()
    assert await _used(counters, window) is None


async def test_one_replica_reconciles_at_a_time(
    connection: Connection, make: Factory, store: Store, counters: CounterClient
) -> None:
    window = await _book(connection, make, 7)
    async with connection.transaction():
        # Another replica is at it.
        await connection.execute("SELECT pg_advisory_xact_lock(4701201978)")
        await Reconciler(store, counters).reconcile()
        assert await _used(counters, window) is None
    await Reconciler(store, counters).reconcile()
    assert await _used(counters, window) == 7
