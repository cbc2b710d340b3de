"""Redis frozen under calls: each is decided within its time-out by the policy that is set, and says so."""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.exposition import parse, total
from tests.faults.gateway import Gateway, gateway_to
from tests.faults.stores import Stores
from tests.faults.workers import Worker, running_workers, until_ready
from tests.waiting import until

# By policy, and what it makes of the calls of `ROUND`: the worker's own third of ten dollars is room for three.
ADMITTED = {"deny": 0, "allow": 12, "local": 3}
ROUND, ROUNDS = 4, 3
TIME_OUT_SECONDS = 0.2
# For a busy machine.
ROOM_SECONDS = 0.6


class Deployed(msgspec.Struct, frozen=True):
    policy: str
    worker: Worker
    gateway: Gateway
    key: str


@pytest.fixture(params=list(ADMITTED))
async def deployed(request: pytest.FixtureRequest, stores: Stores) -> AsyncIterator[Deployed]:
    variables = {"GOVERNANCE_ON_COUNTERS_UNAVAILABLE": request.param, "GOVERNANCE_REPLICAS": "3"}
    with (
        tempfile.TemporaryDirectory(prefix="governance-") as folder,
        running_workers(Path(folder), stores.settings, 1, **variables) as workers,
    ):
        await until_ready(workers)
        async with gateway_to([workers[0].port]) as gateway:
            key = await gateway.make(
                "virtual-keys",
                name=f"of {request.param}",
                allow_all_providers=True,
                budgets=[{"max_limit": 10, "reset_duration": "1Y"}],
                rate_limit={"request_max_limit": 1000, "request_reset_duration": "1m"},
            )
            yield Deployed(request.param, workers[0], gateway, key["virtual_key"]["value"])


async def test_calls_are_decided_in_time_by_the_policy_that_is_set_and_by_redis_soon_after_its_return(
    deployed: Deployed, stores: Stores
) -> None:
    async def decide() -> tuple[Any, float]:
        begun = time.monotonic()
        verdict = await deployed.gateway.authorize(virtual_key=deployed.key, estimated_cost=1, ttl=2)
        return verdict, time.monotonic() - begun

    assert "degraded" not in (await decide())[0]
    stores.valkey.send(signal.SIGSTOP)
    decided = [pair for _ in range(ROUNDS) for pair in await asyncio.gather(*(decide() for _ in range(ROUND)))]
    assert max(seconds for _, seconds in decided) < TIME_OUT_SECONDS + ROOM_SECONDS
    assert {verdict["degraded"] for verdict, _ in decided} == {deployed.policy}
    assert sum(verdict["allowed"] for verdict, _ in decided) == ADMITTED[deployed.policy]
    if deployed.policy == "deny":
        assert {verdict["decision"] for verdict, _ in decided} == {"counters_unavailable"}
        assert {verdict["status_code"] for verdict, _ in decided} == {503}
    assert await scraped(deployed, "governance_degraded_decisions_total") == ROUND * ROUNDS
    assert await scraped(deployed, "governance_redis_breaker_open") == 1

    stores.valkey.send(signal.SIGCONT)
    going_on = time.monotonic()

    async def is_live() -> bool:
        return "degraded" not in (await decide())[0]

    await until(is_live, seconds=10)
    assert time.monotonic() - going_on < 2 + ROOM_SECONDS
    assert await scraped(deployed, "governance_redis_breaker_open") == 0


async def scraped(deployed: Deployed, name: str) -> float:
    url = f"http://127.0.0.1:{deployed.worker.port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return total(parse(await response.text()), name)
