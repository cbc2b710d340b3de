"""What is in Redis was written by somebody else, or cut short: it reads as cold, and the next merge repairs it."""

import pytest
from redis.asyncio import Redis

from service.counters.client import CounterClient
from service.counters.meters import UNKNOWN_VERSION, TenantCounters, merge_windows, read_tenants
from service.domain.meters import MeterState
from tests.counters.windows import tenant, window

KEY = "gov:{customer:acme}:meters:1"
BUDGET = "budget:b"


async def read(counters: CounterClient) -> TenantCounters:
    return (await read_tenants(counters, {tenant(): UNKNOWN_VERSION}))[tenant()]


async def used(counters: CounterClient) -> MeterState | None:
    return (await read(counters)).state_of(BUDGET)


@pytest.mark.parametrize("stored", [f"1:{10**30}:5", f"{10**30}:0:5", f"1:0:{10**30}", b"1:0:\xff", "1:0:٣"], ids=repr)
async def test_a_field_no_state_can_have_is_cold_and_repaired(
    counters: CounterClient, redis: Redis, stored: str | bytes
) -> None:
    await merge_windows(counters, [window(used=7, meter_id="budget:whole")])
    await redis.hset(KEY, BUDGET, stored)
    assert await used(counters) is None
    assert (await read(counters)).state_of("budget:whole") is not None
    assert await merge_windows(counters, [window(used=3)]) == 1
    state = await used(counters)
    assert state is not None
    assert state.used == 3


@pytest.mark.parametrize("stored", ["", "newest", "nan", "inf", "-1", b"\xff"], ids=repr)
async def test_a_version_that_is_not_a_number_stops_neither_reads_nor_merges(
    counters: CounterClient, redis: Redis, stored: str | bytes
) -> None:
    await merge_windows(counters, [window(used=1)])
    await redis.hset(KEY, "version", stored)
    await read(counters)
    await merge_windows(counters, [window(used=2)])
    repaired = await read(counters)
    assert repaired.version.isdecimal()
    state = repaired.state_of(BUDGET)
    assert state is not None
    assert state.used == 2
    await merge_windows(counters, [window(used=3)])
    assert int((await read(counters)).version) > int(repaired.version)


async def test_of_several_windows_of_one_meter_in_one_merge_the_largest_is_kept(counters: CounterClient) -> None:
    assert await merge_windows(counters, [window(day=0, used=5), window(day=1, used=1), window(day=0, used=9)]) == 1
    state = await used(counters)
    assert state == MeterState(1, window(day=1).window_start, 1)
