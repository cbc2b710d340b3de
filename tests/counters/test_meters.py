"""Meters in Redis: whatever arrives, however often and in whatever order, the largest state stands."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st
from redis.asyncio import Redis

from service.counters.client import CounterClient
from service.counters.meters import UNKNOWN_VERSION, merge_windows, read_tenants
from service.domain.meters import MeterState, MeterWindow
from tests.counters.windows import tenant, window

LARGEST_USED = 9_000_000_000_000_000_000


async def stands_at(counters: CounterClient, name: str = "acme", meter_id: str = "budget:b") -> MeterState | None:
    read = await read_tenants(counters, {tenant(name): UNKNOWN_VERSION})
    return read[tenant(name)].state_of(meter_id)


def state_of(of: MeterWindow) -> MeterState:
    return MeterState(of.epoch, of.window_start, of.used)


async def version_of(counters: CounterClient) -> str:
    return (await read_tenants(counters, {tenant(): UNKNOWN_VERSION}))[tenant()].version


async def only_key(redis: Redis) -> str:
    (key,) = await redis.keys("gov:*")
    assert isinstance(key, bytes)
    return key.decode()


windows = st.builds(
    window,
    epoch=st.integers(1, 3) | st.just(2**31 - 1),
    day=st.integers(0, 3) | st.just(20_000),
    used=st.sampled_from([0, 9, 10, 99, 2**53, 2**53 + 1, LARGEST_USED - 1, LARGEST_USED]),
)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals=st.lists(windows, min_size=1, max_size=12), batch=st.integers(1, 4))
async def test_the_largest_state_stands_in_whatever_order_and_however_often_states_arrive(
    counters: CounterClient, redis: Redis, arrivals: list[MeterWindow], batch: int
) -> None:
    await redis.flushdb()
    for start in range(0, len(arrivals), batch):
        for each in arrivals[start : start + batch]:
            await merge_windows(counters, [each])
        await merge_windows(counters, arrivals[start : start + 1])  # a repeat of what may be overtaken
    largest = max(arrivals, key=lambda each: (each.epoch, each.window_start, each.used))
    assert await stands_at(counters) == state_of(largest)


async def test_a_merge_answers_how_many_it_was_behind_on_and_repeated_changes_nothing(counters: CounterClient) -> None:
    several = [window(meter_id=f"budget:{number}", used=number) for number in range(5)]
    assert await merge_windows(counters, several) == 5
    assert await merge_windows(counters, several) == 0
    assert await merge_windows(counters, [*several[:4], window(meter_id="budget:4", used=5)]) == 1


async def test_merges_at_one_time_end_at_the_largest(counters: CounterClient) -> None:
    await asyncio.gather(*(merge_windows(counters, [window(used=used)]) for used in range(100)))
    assert await stands_at(counters) == state_of(window(used=99))


@pytest.mark.parametrize("used", [2**53 - 1, 2**53, 2**53 + 1, 10**18 - 1, LARGEST_USED, 2**63 - 1])
async def test_totals_beyond_a_double_are_exact(counters: CounterClient, used: int) -> None:
    await merge_windows(counters, [window(used=used - 1)])
    await merge_windows(counters, [window(used=used)])
    await merge_windows(counters, [window(used=used - 1)])
    assert await stands_at(counters) == state_of(window(used=used))


async def test_every_change_has_a_version_never_seen_before_even_after_everything_was_lost(
    counters: CounterClient, redis: Redis
) -> None:
    versions = []
    for used in range(1, 61):
        if used % 20 == 0:
            await redis.flushall()
        if used % 7 == 0:
            await redis.delete(await only_key(redis))
        await merge_windows(counters, [window(used=used)])
        versions.append(int(await version_of(counters)))
    assert versions == sorted(set(versions))


async def test_a_version_goes_up_although_the_servers_clock_went_back(counters: CounterClient, redis: Redis) -> None:
    await merge_windows(counters, [window(used=1)])
    ahead = 4_000_000_000_000_000  # the year 2096, in microseconds
    await redis.hset(await only_key(redis), "version", str(ahead))
    for used in (2, 3):
        await merge_windows(counters, [window(used=used)])
        assert int(await version_of(counters)) == ahead + used - 1


async def test_a_merge_that_changes_nothing_leaves_the_version(counters: CounterClient) -> None:
    await merge_windows(counters, [window(used=5, day=1)])
    version = await version_of(counters)
    await merge_windows(counters, [window(used=5, day=1), window(used=4, day=1), window(used=9, day=0)])
    assert await version_of(counters) == version
    assert await read_tenants(counters, {tenant(): version}) == {}


async def test_a_hash_expires_35_days_after_its_last_change(counters: CounterClient, redis: Redis) -> None:
    await merge_windows(counters, [window(used=1)])
    assert 0 <= 35 * 86_400 - await redis.ttl(await only_key(redis)) < 60
    await redis.expire(await only_key(redis), 100)
    await merge_windows(counters, [window(used=2)])
    assert 0 <= 35 * 86_400 - await redis.ttl(await only_key(redis)) < 60


async def test_only_tenants_that_changed_are_answered(counters: CounterClient) -> None:
    names = [f"t{number}" for number in range(250)]  # more than one call of the script
    tenants = [tenant(name) for name in names]
    await merge_windows(counters, [window(name=name, used=1) for name in names])
    read = await read_tenants(counters, dict.fromkeys(tenants, UNKNOWN_VERSION))
    assert list(read) == tenants
    known = {each: read[each].version for each in tenants}
    assert await read_tenants(counters, known) == {}
    await merge_windows(counters, [window(name="t7", used=2), window(name="t201", used=2)])
    assert list(await read_tenants(counters, known)) == [tenant("t7"), tenant("t201")]


async def test_an_absent_tenant_is_answered_once_and_then_known(counters: CounterClient) -> None:
    absent = (await read_tenants(counters, {tenant(): UNKNOWN_VERSION}))[tenant()]
    assert (absent.version, absent.state_of("budget:b")) == ("", None)
    assert await read_tenants(counters, {tenant(): absent.version}) == {}
    await merge_windows(counters, [window(used=1)])
    assert list(await read_tenants(counters, {tenant(): absent.version})) == [tenant()]


async def test_a_tenant_with_more_meters_than_one_merge_takes_is_whole(counters: CounterClient) -> None:
    meter_ids = [f"tokens:{number}" for number in range(1201)]
    await merge_windows(counters, [window(meter_id=meter_id, used=3) for meter_id in meter_ids])
    read = (await read_tenants(counters, {tenant(): UNKNOWN_VERSION}))[tenant()]
    assert {read.state_of(meter_id) for meter_id in meter_ids} == {state_of(window(used=3))}


async def test_nothing_to_merge_or_read_is_no_call(counters: CounterClient, redis: Redis) -> None:
    assert await merge_windows(counters, []) == 0
    assert await read_tenants(counters, {}) == {}
    assert await redis.keys("*") == []


@pytest.mark.parametrize("name", ["with space", "a}b{c", "日本", "x" * 255, "a:b", "*"])
async def test_any_id_is_a_tenant_of_its_own(counters: CounterClient, name: str) -> None:
    await merge_windows(counters, [window(used=1), window(name=name, meter_id=f"budget:{name}", used=2)])
    assert await stands_at(counters) == state_of(window(used=1))
    assert await stands_at(counters, name, f"budget:{name}") == state_of(window(used=2))


async def test_the_window_counts_more_than_the_use_and_the_epoch_more_than_the_window(counters: CounterClient) -> None:
    in_order = [
        window(epoch=1, day=0, used=10),
        window(epoch=1, day=0, used=100),
        window(epoch=1, day=1, used=0),
        window(epoch=2, day=0, used=0),
    ]
    for number, larger in enumerate(in_order):
        await merge_windows(counters, [larger])
        assert await merge_windows(counters, in_order[:number]) == 0
        assert await stands_at(counters) == state_of(larger)


@pytest.mark.parametrize("stored", ["", "garbage", "1:2", "1:x:3", "1:2:3:4", "-1:2:3", "1:2:-3", "1:2: 3", "1:2:3_0"])
async def test_a_state_that_cannot_be_read_is_cold_and_gives_way(
    counters: CounterClient, redis: Redis, stored: str
) -> None:
    await merge_windows(counters, [window(used=1)])
    await redis.hset(await only_key(redis), "budget:b", stored)
    assert await stands_at(counters) is None
    assert await merge_windows(counters, [window(used=0)]) == 1
    assert await stands_at(counters) == state_of(window(used=0))
