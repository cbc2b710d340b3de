"""Alerts reach every webhook once it takes them; what fails is tried again, ever later, and in the end is dead."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import structlog

from service.domain.alerts import MOST_ATTEMPTS, retry_delay
from service.governance.alerts import SIGNATURE, AlertDeliverer, DeliveryError, parse_webhooks
from service.store.alerts import requeue_alert
from service.store.postgres import Connection, Store
from tests.conftest import Clock
from tests.factories import Factory
from tests.store.fired import fired, spend
from tests.waiting import until

FIRST, SECOND = "https://first.example.com/the-secret-path", "https://second.example.com/hook"
SECRET = "a secret of some length"


class Receivers:
    """Stands for the webhooks: `failing` has what goes wrong at each."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.failing: dict[str, str] = {}

    async def __call__(self, url: str, body: bytes, *, headers: Mapping[str, str]) -> None:
        if url in self.failing:
            raise DeliveryError(self.failing[url])
        self.got.append((url, msgspec.json.decode(body)))
        self.headers.append(headers)


Deliver = Callable[..., AlertDeliverer]


@pytest.fixture
def receivers() -> Receivers:
    return Receivers()


@pytest.fixture
def clock() -> Clock:
    """After what fires in the test: the database's clock stamps that."""
    clock = Clock()
    clock.forward(minutes=1)
    return clock


@pytest.fixture
def deliverer_to(store: Store, clock: Clock, receivers: Receivers) -> Deliver:
    def make(*urls: str) -> AlertDeliverer:
        webhooks = parse_webhooks(", ".join(urls))
        return AlertDeliverer(store, receivers, webhooks=webhooks, secret=SECRET, clock=clock, jitter=lambda: 0)

    return make


@pytest.fixture
async def budget(make: Factory) -> str:
    """One alert of it fires at half a dollar."""
    customer = await make.customer(id="acme", name="Acme")
    return await make.budget(customer_id=customer, max_limit_nanousd=10**9, alert_thresholds=[50])


async def fire(connection: Connection, budget: str, amount_nanousd: int = 500_000_000) -> None:
    await spend(connection, budget, amount_nanousd, at=datetime.now(UTC))


async def test_an_alert_is_sent_to_every_webhook_once(
    connection: Connection, budget: str, deliverer_to: Deliver, receivers: Receivers, clock: Clock
) -> None:
    await fire(connection, budget)
    deliverer = deliverer_to(FIRST, SECOND)
    assert await deliverer.deliver_due() == 1
    clock.forward(days=1)
    assert await deliverer.deliver_due() == 0
    assert sorted(url for url, _ in receivers.got) == [FIRST, SECOND]
    (alert,) = await fired(connection)
    assert (alert.state, alert.attempts, alert.delivered_at) == ("delivered", 1, clock() - timedelta(days=1))
    message = receivers.got[0][1]
    assert message["type"] == "budget.threshold_reached"
    stamps = {name: message["alert"].pop(name) for name in ("window_start", "fired_at")}
    assert all(stamp.endswith("Z") for stamp in stamps.values())
    assert message["alert"] == {
        "id": alert.id,
        "budget_id": budget,
        "owner": {"type": "customer", "id": "acme", "name": "Acme"},
        "customer_id": "acme",
        "threshold_percent": 50,
        "max_limit": 1,
        "used": 0.5,
    }
    assert receivers.headers[0][SIGNATURE].startswith(f"t={int((clock() - timedelta(days=1)).timestamp())},v1=")


async def test_only_webhooks_that_did_not_take_it_are_tried_again(
    connection: Connection, budget: str, deliverer_to: Deliver, receivers: Receivers, clock: Clock
) -> None:
    await fire(connection, budget)
    receivers.failing[SECOND] = "answered 500"
    deliverer = deliverer_to(FIRST, SECOND)
    await deliverer.deliver_due()
    (alert,) = await fired(connection)
    assert (alert.state, alert.last_error) == ("pending", "webhook 2 answered 500")
    receivers.failing.clear()
    clock.forward(seconds=9)
    assert await deliverer.deliver_due() == 0
    clock.forward(seconds=1)
    assert await deliverer.deliver_due() == 1
    assert [url for url, _ in receivers.got] == [FIRST, SECOND]
    (alert,) = await fired(connection)
    assert (alert.state, alert.attempts) == ("delivered", 2)
    assert not alert.last_error


async def test_an_alert_nobody_takes_is_tried_ever_later_and_dies(
    connection: Connection, budget: str, deliverer_to: Deliver, receivers: Receivers, clock: Clock
) -> None:
    await fire(connection, budget)
    receivers.failing[FIRST] = "did not answer in time"
    deliverer = deliverer_to(FIRST)
    waits = []
    for _ in range(MOST_ATTEMPTS + 1):
        await deliverer.deliver_due()
        (alert,) = await fired(connection)
        if alert.state == "dead":
            break
        due_at = await connection.fetchval("SELECT next_attempt_at FROM alerts")
        waits.append((due_at - clock()).total_seconds())
        clock.now = due_at
    assert waits == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
    assert (alert.state, alert.attempts, alert.last_error) == (
        "dead",
        MOST_ATTEMPTS,
        "webhook 1 did not answer in time",
    )
    clock.forward(days=1)
    assert await deliverer.deliver_due() == 0


async def test_a_dead_alert_that_is_queued_again_has_all_its_attempts_before_it(
    connection: Connection, budget: str, deliverer_to: Deliver, receivers: Receivers, clock: Clock
) -> None:
    await fire(connection, budget)
    receivers.failing[SECOND] = "answered 500"
    deliverer = deliverer_to(FIRST, SECOND)
    await deliverer.deliver_due()
    await connection.execute("UPDATE alerts SET state = 'dead', attempts = 12")
    clock.forward(days=30)
    (alert,) = await fired(connection)
    await requeue_alert(connection, alert.id, as_of=clock())
    await deliverer.deliver_due()
    (alert,) = await fired(connection)
    assert (alert.state, alert.attempts) == ("pending", 1)
    receivers.failing.clear()
    clock.forward(seconds=10)
    await deliverer.deliver_due()
    assert [url for url, _ in receivers.got] == [FIRST, SECOND]


async def test_what_fired_long_before_there_was_a_webhook_is_no_news(
    connection: Connection, budget: str, deliverer_to: Deliver, receivers: Receivers, clock: Clock
) -> None:
    await fire(connection, budget)
    clock.forward(days=3)
    await deliverer_to(FIRST).deliver_due()
    (alert,) = await fired(connection)
    assert (alert.state, alert.last_error) == ("dead", "nobody tried for 3 days")
    assert receivers.got == []


async def test_replicas_that_deliver_at_once_send_each_alert_once(
    connection: Connection, make: Factory, deliverer_to: Deliver, receivers: Receivers
) -> None:
    customer = await make.customer()
    for _ in range(30):
        await fire(connection, await make.budget(customer_id=customer, max_limit_nanousd=10**9, alert_thresholds=[50]))
    replicas = [deliverer_to(FIRST) for _ in range(4)]
    counts = await asyncio.gather(*(replica.deliver_due() for replica in replicas))
    assert sum(counts) == 30
    ids = [message["alert"]["id"] for _, message in receivers.got]
    assert len(ids) == len(set(ids)) == 30


async def test_it_delivers_in_the_background_until_it_is_told_to_stop(
    connection: Connection, make: Factory, deliverer_to: Deliver, receivers: Receivers
) -> None:
    customer = await make.customer()
    for _ in range(45):
        await fire(connection, await make.budget(customer_id=customer, max_limit_nanousd=10**9, alert_thresholds=[50]))
    stop = asyncio.Event()
    task = asyncio.create_task(deliverer_to(FIRST).watch(stop))

    async def all_are_there() -> bool:
        return len(receivers.got) == 45

    await until(all_are_there)
    stop.set()
    await asyncio.wait_for(task, 5)


async def test_neither_logs_nor_the_list_hold_a_url_or_the_secret(
    connection: Connection, budget: str, deliverer_to: Deliver, receivers: Receivers
) -> None:
    await fire(connection, budget)
    receivers.failing[FIRST] = "answered 500"
    with structlog.testing.capture_logs() as lines:
        await deliverer_to(FIRST).deliver_due()
    (alert,) = await fired(connection)
    row = await connection.fetchval("SELECT alerts::text FROM alerts")
    assert [line["event"] for line in lines] == ["alert not delivered"]
    for text in (repr(lines), repr(alert), row):
        assert "secret" not in text
        assert "example.com" not in text


def test_jitter_takes_up_to_half_of_a_wait() -> None:
    assert retry_delay(1, jitter=0) == timedelta(seconds=10)
    assert retry_delay(1, jitter=1) == timedelta(seconds=5)
    assert retry_delay(1000, jitter=0) == timedelta(hours=1)
