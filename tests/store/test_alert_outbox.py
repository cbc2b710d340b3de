"""The outbox: one replica at a time has an alert, and what is old goes."""

from datetime import UTC, datetime, timedelta

import pytest

from service.store.alerts import Attempt, ClaimedAlert, claim_alerts, prune_alerts, settle_alert
from service.store.postgres import Connection
from tests.factories import Factory
from tests.store.fired import fired, percents, spend

LEASE = timedelta(seconds=60)
KEEP = timedelta(days=90)


@pytest.fixture
def soon() -> datetime:
    """After what fires in the test."""
    return datetime.now(UTC) + timedelta(minutes=1)


async def fire(connection: Connection, make: Factory, *, percents: int = 3) -> str:
    budget = await make.budget(
        customer_id=await make.customer(), max_limit_nanousd=100, alert_thresholds=list(range(1, percents + 1))
    )
    await spend(connection, budget, 50, at=datetime.now(UTC))
    return budget


async def claim(connection: Connection, as_of: datetime, *, limit: int = 10) -> list[ClaimedAlert]:
    return await claim_alerts(connection, as_of=as_of, lease=LEASE, limit=limit)


async def test_replicas_that_claim_at_once_have_different_alerts(
    connection: Connection, other_connection: Connection, make: Factory, soon: datetime
) -> None:
    await fire(connection, make)
    async with connection.transaction(), other_connection.transaction():
        await other_connection.execute("SET LOCAL lock_timeout = '1s'")
        first = await claim(connection, soon, limit=2)
        second = await claim(other_connection, soon, limit=2)
        assert (len(first), len(second)) == (2, 1)
        assert {each.alert.id for each in first}.isdisjoint(each.alert.id for each in second)


async def test_a_claimed_alert_comes_up_again_when_its_lease_runs_out(
    connection: Connection, make: Factory, soon: datetime
) -> None:
    await fire(connection, make, percents=1)
    (first,) = await claim(connection, soon)
    assert await claim(connection, soon + LEASE - timedelta(seconds=1)) == []
    (second,) = await claim(connection, soon + LEASE)
    assert (first.alert.attempts, second.alert.attempts) == (1, 2)
    assert second.due_at == soon + LEASE


@pytest.mark.parametrize(("late", "state", "error"), [("pending", "pending", ""), ("delivered", "delivered", "")])
async def test_of_an_attempt_whose_lease_ran_out_only_a_success_counts(
    connection: Connection, make: Factory, soon: datetime, late: str, state: str, error: str
) -> None:
    await fire(connection, make, percents=1)
    (first,) = await claim(connection, soon)
    await claim(connection, soon + LEASE)
    attempt = Attempt(
        alert_id=first.alert.id,
        attempts=1,
        state="pending" if late == "pending" else "delivered",
        delivered_to=frozenset(),
        last_error="late" if late == "pending" else "",
    )
    await settle_alert(connection, attempt)
    (alert,) = await fired(connection)
    assert (alert.state, alert.last_error or "") == (state, error)


async def test_a_delivered_alert_is_not_claimed_and_does_not_become_another(
    connection: Connection, make: Factory, soon: datetime
) -> None:
    await fire(connection, make, percents=1)
    (claimed,) = await claim(connection, soon)
    done = Attempt(alert_id=claimed.alert.id, attempts=1, state="delivered", delivered_to=frozenset({"a"}))
    await settle_alert(connection, done)
    dead = Attempt(alert_id=claimed.alert.id, attempts=1, state="dead", delivered_to=frozenset(), last_error="late")
    await settle_alert(connection, dead)
    assert await percents(connection, state="delivered") == [1]
    assert await claim(connection, soon + timedelta(days=1)) == []


async def test_old_alerts_are_pruned_a_bounded_number_at_a_time(
    connection: Connection, make: Factory, soon: datetime
) -> None:
    await fire(connection, make)
    assert await prune_alerts(connection, as_of=soon, keep=KEEP, limit=10) == 0
    later = soon + KEEP
    pruned = [await prune_alerts(connection, as_of=later, keep=KEEP, limit=2) for _ in range(3)]
    assert pruned == [2, 1, 0]


@pytest.mark.parametrize(("duration", "days", "goes"), [("1Y", 91, False), ("1Y", 370, True), ("1d", 91, True)])
async def test_an_alert_stays_while_its_window_may_be_open(
    connection: Connection, make: Factory, soon: datetime, duration: str, days: int, goes: bool
) -> None:
    budget = await make.budget(customer_id=await make.customer(), max_limit_nanousd=100, reset_duration=duration)
    await spend(connection, budget, 50, at=soon)
    as_of = soon + timedelta(days=days)
    assert await prune_alerts(connection, as_of=as_of, keep=KEEP, limit=10) == int(goes)


async def test_an_alert_of_an_epoch_that_is_over_or_a_budget_that_is_gone_is_pruned(
    connection: Connection, make: Factory, soon: datetime
) -> None:
    budgets = [
        await make.budget(id=name, customer_id=await make.customer(), max_limit_nanousd=100, reset_duration="1Y")
        for name in ("reset", "gone", "open")
    ]
    for budget in budgets:
        await spend(connection, budget, 50, at=soon)
    await connection.execute("UPDATE budgets SET epoch = epoch + 1 WHERE id = 'reset'")
    await connection.execute("DELETE FROM budgets WHERE id = 'gone'")
    assert await prune_alerts(connection, as_of=soon + KEEP, keep=KEEP, limit=10) == 2
    assert await percents(connection, budget_id="open") == [50]
