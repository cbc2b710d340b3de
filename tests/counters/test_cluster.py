"""A Redis Cluster of three primaries: calls reach their tenant's, whatever happens to slots and servers."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.counters.client import CounterClient, CountersUnavailableError, ScriptCall
from service.counters.meters import UNKNOWN_VERSION, merge_windows, read_meters, read_tenants
from service.counters.server_run import find_server_runs, mark_reconciled
from service.domain.meters import Tenant
from tests.counters.clusters import (
    begin_move,
    end_move,
    key_of,
    move_key,
    move_slot,
    open_client,
    primary_of,
    redirected,
    slot_of,
    tenants_of,
)
from tests.counters.scripts import COUNT, ECHO, script
from tests.counters.windows import tenant, window
from tests.valkeys import Cluster
from tests.waiting import until

ODD_NAMES = ["with space", "a}b{c", "}", "{", "{}", "日本", "x" * 255, "a:b", "*"]
SUM = script("return tostring(#KEYS + redis.call('EXISTS', unpack(KEYS)))")


@pytest.fixture(scope="module")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        asyncio.run(cluster.start())
        yield cluster
    finally:
        asyncio.run(cluster.stop())


@pytest.fixture
async def cluster(running_cluster: Cluster) -> AsyncIterator[Cluster]:
    """All up and empty when the test begins."""
    for node in running_cluster.primaries:
        await node.tell("FLUSHALL")
    yield running_cluster
    await running_cluster.restore()


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[CounterClient]:
    client = open_client(cluster.url)
    yield client
    await client.close()


async def count(client: CounterClient, of: Tenant) -> int:
    return int(await client.batcher.run(ScriptCall(COUNT, (key_of(of),), b"")))


async def refusal(client: CounterClient, of: Tenant) -> CountersUnavailableError | None:
    try:
        await count(client, of)
    except CountersUnavailableError as error:
        return error
    return None


async def test_every_tenant_is_on_the_primary_of_its_slot_and_no_call_goes_astray(
    cluster: Cluster, client: CounterClient
) -> None:
    before = await redirected(cluster)
    windows = [window(name=f"t{number}", used=number) for number in range(700)]  # more than one round trip reads
    assert await merge_windows(client, windows) == 700
    tenants = [each.tenant for each in windows]
    read = await read_tenants(client, dict.fromkeys(tenants, UNKNOWN_VERSION))
    assert [read[each.tenant].state_of("budget:b").used for each in windows] == list(range(700))  # type: ignore[union-attr]
    assert await read_tenants(client, {each: read[each].version for each in tenants}) == {}
    assert len(await read_meters(client, {each: ["budget:b"] for each in tenants})) == 1  # of one id
    sizes = [int(await node.tell("DBSIZE")) for node in cluster.primaries]
    assert sum(sizes) == 700
    assert min(sizes) > 150
    assert await redirected(cluster) == before


async def test_concurrent_calls_share_a_round_trip_to_each_primary(client: CounterClient) -> None:
    tenants = [tenant(f"t{number}") for number in range(60)]
    await asyncio.gather(*(count(client, each) for each in tenants))
    before = client.batcher.traffic.round_trips
    assert await asyncio.gather(*(count(client, each) for each in tenants)) == [2] * 60
    assert client.batcher.traffic.round_trips == before + 3


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_all_keys_of_a_tenant_are_in_one_slot_whatever_its_name(
    cluster: Cluster, client: CounterClient, name: str
) -> None:
    of = tenant(name)
    await merge_windows(client, [window(name=name, used=1)])
    (stored,) = [key for node in cluster.primaries for key in await node.tell("KEYS", "gov:*")]
    keys = (stored.decode(), *(key_of(of, part) for part in ("held", "holds", "expiries")))
    slots = {int(await cluster.primaries[0].tell("CLUSTER", "KEYSLOT", key)) for key in keys}
    assert slots == {slot_of(of)}
    assert await client.batcher.run(ScriptCall(SUM, keys, b"")) == b"5"


async def test_a_server_that_lost_its_scripts_is_told_them_again(cluster: Cluster, client: CounterClient) -> None:
    tenants = [tenant(f"t{number}") for number in range(20)]
    for times in range(1, 7):
        await cluster.primaries[times % 3].tell("SCRIPT", "FLUSH")
        assert await asyncio.gather(*(count(client, each) for each in tenants)) == [times] * 20


async def test_a_slot_that_moves_under_load_costs_no_call(cluster: Cluster, client: CounterClient) -> None:
    source, target = cluster.primaries[0], cluster.primaries[2]
    (of,) = tenants_of(cluster, source, 1)
    stop = asyncio.Event()

    async def count_on() -> int:
        times = 0
        while not stop.is_set():
            await count(client, of)
            times += 1
        return times

    async def has_counted() -> bool:
        return await count(client, of) > 0

    counting = [asyncio.create_task(count_on()) for _ in range(5)]
    await until(has_counted)
    await begin_move(source, target, slot_of(of))
    await move_key(source, target, key_of(of))
    await until(has_counted)  # asking the target, which is not its primary yet
    await end_move(cluster, target, slot_of(of))
    await until(has_counted)
    stop.set()
    done = sum(await asyncio.gather(*counting))
    assert await count(client, of) >= done + 4
    assert client.batcher.traffic.errors.total() == 0
    await until_straight(cluster, client, of)
    await move_slot(cluster, (target, source), of, [key_of(of)])


async def until_straight(cluster: Cluster, client: CounterClient, of: Tenant) -> None:
    """Wait until the client has learned where the slot is."""

    async def goes_straight() -> bool:
        before = await redirected(cluster)
        await count(client, of)
        return await redirected(cluster) == before

    await until(goes_straight, seconds=3)


async def test_keys_that_are_apart_while_their_slot_moves_are_refused_alone_and_in_time(
    cluster: Cluster, client: CounterClient
) -> None:
    source, target = cluster.primaries[0], cluster.primaries[1]
    of, other = tenants_of(cluster, source, 2)
    keys = tuple(key_of(of, name) for name in ("x", "y"))
    for key in keys:
        await client.batcher.run(ScriptCall(COUNT, (key,), b""))
    await begin_move(source, target, slot_of(of))
    await move_key(source, target, keys[0])
    begun = time.monotonic()
    with pytest.raises(CountersUnavailableError):
        await client.batcher.run(ScriptCall(SUM, keys, b""))
    assert time.monotonic() - begun < 1.5
    assert await count(client, other) == 1
    again = asyncio.create_task(client.batcher.run(ScriptCall(SUM, keys, b"")))
    await move_key(source, target, keys[1])
    assert await again == b"4"
    await end_move(cluster, target, slot_of(of))
    await move_slot(cluster, (target, source), of, keys)


async def test_a_frozen_primary_costs_only_its_own_tenants(cluster: Cluster) -> None:
    client = open_client(cluster.url, timeout_ms=200)
    frozen = cluster.primaries[1]
    its, others = tenants_of(cluster, frozen, 10), tenants_of(cluster, cluster.primaries[0], 10)
    await asyncio.gather(*(count(client, each) for each in (*its, *others)))
    frozen.send(signal.SIGSTOP)
    for times in range(2, 8):
        waiting = [asyncio.create_task(refusal(client, each)) for each in its]
        await asyncio.sleep(0)
        assert await asyncio.gather(*(count(client, each) for each in others)) == [times] * 10
        assert times > 4 or not any(task.done() for task in waiting)
        assert None not in await asyncio.gather(*waiting)
    assert client.batcher.traffic.errors["not_asked"] >= 30
    assert client.batcher.breaker_is_open
    with pytest.raises(CountersUnavailableError):
        await client.ping()
    frozen.send(signal.SIGCONT)

    async def all_answer() -> bool:
        return [await refusal(client, each) for each in its] == [None] * 10

    await until(all_answer, seconds=4)
    await client.close()


async def test_one_server_of_the_url_is_enough(cluster: Cluster, unused_tcp_port: int) -> None:
    last = cluster.url.rpartition(",")[2]
    client = open_client(f"redis+cluster://127.0.0.1:{unused_tcp_port},{last}")
    tenants = [tenant(f"t{number}") for number in range(30)]
    assert await asyncio.gather(*(count(client, each) for each in tenants)) == [1] * 30
    await client.close()


async def test_without_any_server_callers_are_told_at_once(unused_tcp_port: int) -> None:
    client = open_client(f"redis+cluster://127.0.0.1:{unused_tcp_port}")
    begun = time.monotonic()
    for _ in range(100):
        assert await refusal(client, tenant()) is not None
    with pytest.raises(CountersUnavailableError):
        await client.ping()
    assert time.monotonic() - begun < 1
    await client.close()


async def test_a_server_that_is_of_no_cluster_is_refused(tmp_path: Path, cluster: Cluster) -> None:
    one_of_it = open_client(f"redis://127.0.0.1:{cluster.primaries[0].port}/0")
    (elsewhere,) = tenants_of(cluster, cluster.primaries[1], 1)
    assert await refusal(one_of_it, elsewhere) is not None
    await one_of_it.close()


async def test_closed_it_leaves_no_connection(cluster: Cluster) -> None:
    async def connections() -> int:
        said = [await node.tell("INFO", "clients") for node in cluster.primaries]
        return sum(int(clients["connected_clients"]) for clients in said)

    before = await connections()
    for turns in range(0, 40, 4):
        client = open_client(cluster.url)
        calls = [asyncio.create_task(refusal(client, tenant(f"t{number}"))) for number in range(30)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await client.close()
        await asyncio.gather(*calls)

    async def none_is_new() -> bool:
        return await connections() <= before

    await until(none_is_new, seconds=2)


async def test_any_primary_that_is_another_run_is_to_be_reconciled(cluster: Cluster, client: CounterClient) -> None:
    runs = await find_server_runs(client)
    assert runs.reconciled_before is None
    assert len(runs.ids.split("+")) == 3
    await mark_reconciled(client, runs)
    assert (await find_server_runs(client)).reconciled_before is not None
    home = primary_of(cluster, tenant())
    await home.stop()
    await home.start()

    async def answers() -> bool:
        try:
            await client.ping()
        except CountersUnavailableError:
            return False
        return True

    await until(answers)
    others = await find_server_runs(client)
    assert others.reconciled_before is None
    assert len(set(others.ids.split("+")) - set(runs.ids.split("+"))) == 1
    await mark_reconciled(client, others)
    assert (await find_server_runs(client)).reconciled_before is not None


async def test_a_call_with_keys_of_several_tenants_is_refused_and_is_no_outage(client: CounterClient) -> None:
    keys = tuple(key_of(tenant(f"t{number}")) for number in range(5))
    with pytest.raises(CountersUnavailableError):
        await client.batcher.run(ScriptCall(ECHO, keys, b"1"))
    assert not client.batcher.breaker_is_open
    assert client.is_cluster
