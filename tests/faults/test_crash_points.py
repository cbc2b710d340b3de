"""Workers that die, and answers of Redis that are lost, at the worst moment: a call is charged once, or not at all."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from service.counters.client import load_script
from service.settings import Settings, to_environment
from service.store.postgres import Connection
from tests.faults.gateway import Gateway, NoAnswerError, gateway_to
from tests.faults.processes import free_port, running, wait_for_status
from tests.faults.proxy import LosingProxy, losing_proxy
from tests.faults.workers import Worker, running_workers, until_ready
from tests.waiting import until

SETTLE = load_script("settle_holds").sha1.encode()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="governance-") as folder:
        yield Path(folder)


@asynccontextmanager
async def behind_a_proxy(
    folder: Path, settings: Settings, **variables: str
) -> AsyncIterator[tuple[Worker, LosingProxy, Gateway]]:
    """A worker whose Redis is behind a proxy, ready."""
    async with losing_proxy(settings.redis_url) as (proxy, redis_url):
        environment = {"REDIS_URL": redis_url} | variables
        with running_workers(folder / "proxied", settings, 1, **environment) as (worker,):
            await until_ready([worker])
            async with gateway_to([worker.port]) as gateway:
                yield worker, proxy, gateway


async def make_key(gateway: Gateway, *, usd: float) -> str:
    key = await gateway.make(
        "virtual-keys",
        name="key",
        allow_all_providers=True,
        budgets=[{"max_limit": usd, "reset_duration": "1Y"}],
    )
    value: str = key["virtual_key"]["value"]
    return value


async def ask(gateway: Gateway, value: str, usd: float, request_id: str) -> bool:
    verdict = await gateway.authorize(request_id=request_id, virtual_key=value, estimated_cost=usd)
    return bool(verdict["allowed"])


async def booked(connection: Connection) -> list[Any]:
    rows = await connection.fetch("SELECT request_id, status, cost_nanousd FROM usage_events ORDER BY id")
    return [tuple(row) for row in rows]


async def calls_that_hold(redis: Redis) -> int:
    """Of every tenant."""
    stored = [await redis.hvals(key) for key in await redis.keys("gov:*:holds")]
    return sum(value != b"e" for values in stored for value in values)


async def test_killed_between_the_commit_and_redis_the_repeated_report_ends_the_hold_and_its_usage_counts_at_once(
    folder: Path, settings: Settings, connection: Connection, redis: Redis
) -> None:
    async with behind_a_proxy(folder, settings) as (worker, proxy, gateway):
        value = await make_key(gateway, usd=10)
        assert await ask(gateway, value, 4, "call")
        report = {"request_id": "call", "virtual_key": value, "cost": 3}
        proxy.hold_back = SETTLE
        unanswered = asyncio.create_task(gateway.send("POST", "usage", report))
        await asyncio.wait_for(proxy.held_back.wait(), 10)
        await worker.kill()
        with pytest.raises(NoAnswerError):
            await unanswered
    assert await booked(connection) == [("call", "success", 3_000_000_000)]
    assert await calls_that_hold(redis) == 1
    # No reconciler helps: another replica is at it.
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(4701201978)")
        with running_workers(folder / "other", settings, 1) as others:
            await until_ready(others)
            async with gateway_to([others[0].port]) as gateway:
                assert await gateway.report(report) == ["duplicate"]
                assert await calls_that_hold(redis) == 0
                assert not await ask(gateway, value, 7.000000001, "too much")
                assert await ask(gateway, value, 7, "what is left")
    assert await connection.fetchval("SELECT sum(used) FROM meter_windows") == 3_000_000_000


@pytest.mark.parametrize("loss", ["silence", "cut"])
async def test_a_call_that_was_refused_since_redis_was_not_heard_holds_nothing_and_is_never_booked(
    folder: Path, settings: Settings, connection: Connection, redis: Redis, loss: Any
) -> None:
    deny = {"GOVERNANCE_ON_COUNTERS_UNAVAILABLE": "deny", "GOVERNANCE_REDIS_TIMEOUT_MS": "300"}
    async with behind_a_proxy(folder, settings, **deny) as (_, proxy, gateway):
        value = await make_key(gateway, usd=1000)
        # The first has more to ask Redis than whether there is room.
        assert await ask(gateway, value, 1, "first")
        admitted = {"first"}
        for number in count():
            # It may be another's reply that is lost: the worker asks for more than this.
            proxy.lose_next = loss
            verdict = await gateway.authorize(request_id=f"{number}", virtual_key=value, estimated_cost=1, ttl=30)
            if not verdict["allowed"]:
                break
            admitted.add(verdict["request_id"])
        assert (verdict["decision"], verdict["degraded"]) == ("counters_unavailable", "deny")

        async def only_admitted_hold() -> bool:
            return await calls_that_hold(redis) == len(admitted)

        await until(only_admitted_hold, seconds=20)
        assert await booked(connection) == []
        # The id is as good as new.
        assert await ask(gateway, value, 1, verdict["request_id"])


async def test_told_to_stop_under_load_all_that_was_acknowledged_is_in_the_ledger(
    folder: Path, settings: Settings, connection: Connection
) -> None:
    port, numbers, acknowledged = free_port(), count(), set[str]()
    stopped = asyncio.Event()

    async def report_until_it_is_gone(gateway: Gateway, value: str) -> None:
        while not stopped.is_set():
            ids = [f"call {next(numbers)}" for _ in range(5)]
            try:
                statuses = await gateway.report(
                    *({"request_id": each, "virtual_key": value, "cost": 1} for each in ids)
                )
            except NoAnswerError:
                continue
            assert statuses == ["recorded"] * 5
            acknowledged.update(ids)

    environment = to_environment(settings) | {"PORT": str(port), "GOVERNANCE_DRAIN_SECONDS": "1"}
    with running("serve", "--workers", "2", folder=folder, environment=environment) as service:
        await wait_for_status(port, "/ready", 200, seconds=60)
        async with gateway_to([port]) as gateway, asyncio.TaskGroup() as group:
            value = await make_key(gateway, usd=1000)
            for _ in range(8):
                group.create_task(report_until_it_is_gone(gateway, value))
            await until(lambda: more_than(acknowledged, 200), seconds=30)
            service.send(signal.SIGTERM)
            assert await service.exit_code(seconds=40) == 0
            stopped.set()
        assert "Traceback" not in service.output
    ledger = {row[0] for row in await booked(connection)}
    assert acknowledged <= ledger
    assert await connection.fetchval("SELECT sum(used) FROM meter_windows") == len(ledger) * 1_000_000_000


async def more_than(acknowledged: set[str], number: int) -> bool:
    return len(acknowledged) > number
