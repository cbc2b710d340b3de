"""Postgres killed and frozen: refused in a bounded time, told by /ready, and used again without a restart."""

import signal
import statistics
import time
from decimal import Decimal

from aiohttp import ClientResponse

from tests.conftest import TestApi
from tests.faults.stores import Budget, Read, Stores, read
from tests.waiting import until

CUSTOMERS = "/api/governance/customers"
# A wait for a connection, one statement's time-out, and what cancelling it may take.
REFUSED_SECONDS = 8


async def assert_refused(response: ClientResponse) -> None:
    assert response.status == 503
    assert int(response.headers["Retry-After"]) >= 1
    body = await response.json()
    assert (body["is_bifrost_error"], body["status_code"]) == (False, 503)
    assert body["error"]["message"].startswith("Postgres")


async def wait_for_status(api: TestApi, path: str, status: int) -> None:
    async def answered() -> bool:
        return (await api.get(path)).status == status

    await until(answered)


async def assert_health_is_fast(api: TestApi) -> None:
    seconds = []
    for _ in range(51):
        begun = time.perf_counter()
        assert (await api.get("/health")).status == 200
        seconds.append(time.perf_counter() - begun)
    assert statistics.median(seconds) < 0.010


async def test_killed_it_is_refused_at_once_and_restarted_it_is_used_again(
    broken_api: TestApi, stores: Stores, budget: Budget
) -> None:
    await budget.book(3)
    assert (await read(broken_api, budget)).used_usd == 3
    stores.postgres.send(signal.SIGKILL)
    await stores.postgres.exited()
    for _ in range(5):
        begun = time.monotonic()
        await assert_refused(await broken_api.get(CUSTOMERS))
        assert time.monotonic() - begun < 2.5
    await wait_for_status(broken_api, "/ready", 503)
    await assert_health_is_fast(broken_api)
    await stores.postgres.start()
    await wait_for_status(broken_api, CUSTOMERS, 200)
    assert await read(broken_api, budget) == Read(Decimal(3), "live")
    await wait_for_status(broken_api, "/ready", 200)


async def test_frozen_it_is_refused_within_a_bound_and_used_again_when_it_goes_on(
    broken_api: TestApi, stores: Stores, budget: Budget
) -> None:
    await budget.book(3)
    assert (await read(broken_api, budget)).used_usd == 3
    stores.postgres.send(signal.SIGSTOP)
    begun = time.monotonic()
    await assert_refused(await broken_api.get(CUSTOMERS))
    assert time.monotonic() - begun < REFUSED_SECONDS
    await assert_health_is_fast(broken_api)
    await wait_for_status(broken_api, "/ready", 503)
    stores.postgres.send(signal.SIGCONT)
    await wait_for_status(broken_api, CUSTOMERS, 200)
    assert await read(broken_api, budget) == Read(Decimal(3), "live")
    await wait_for_status(broken_api, "/ready", 200)
