"""A replica takes the place of its primary: calls find it, and what it may not have been told is merged again."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.counters.client import CounterClient, CountersUnavailableError, ScriptCall
from service.counters.meters import UNKNOWN_VERSION, merge_windows, read_tenants
from service.counters.server_run import find_server_runs, mark_reconciled
from service.domain.meters import Tenant
from tests.counters.clusters import key_of, open_client, tenants_of
from tests.counters.scripts import COUNT
from tests.counters.windows import tenant, window
from tests.valkeys import Cluster, Node, Watched
from tests.waiting import until

# Until the others agree that it is gone, one is elected, the breaker lets a probe through and the slots are learned.
FAILOVER_SECONDS = 10


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    watched = Watched(tmp_path)
    try:
        await watched.start()
        yield watched
    finally:
        await watched.stop()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """The first of three primaries has a replica."""
    cluster = Cluster(tmp_path, replicas=1)
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()


async def answers(client: CounterClient, of: Tenant) -> bool:
    try:
        await client.batcher.run(ScriptCall(COUNT, (key_of(of),), b""))
    except CountersUnavailableError:
        return False
    return True


async def all_answer(client: CounterClient) -> bool:
    try:
        await client.ping()
    except CountersUnavailableError:
        return False
    return True


async def reconcile(client: CounterClient) -> None:
    await mark_reconciled(client, await find_server_runs(client))
    assert not await is_to_be_reconciled(client)


async def is_to_be_reconciled(client: CounterClient) -> bool:
    return (await find_server_runs(client)).reconciled_before is None


async def kill(node: Node) -> None:
    node.send(signal.SIGKILL)
    await node.exited()


async def test_of_a_cluster(cluster: Cluster) -> None:
    client = open_client(cluster.url, timeout_ms=200)
    (of,), (other,) = (tenants_of(cluster, node, 1) for node in cluster.primaries[:2])
    await merge_windows(client, [window(name=of.id.removeprefix("customer:"), used=5)])
    await reconcile(client)
    await until(cluster.replicas[0].is_in_step)
    await kill(cluster.primaries[0])
    assert await answers(client, other)
    assert not await answers(client, of)
    await until(lambda: answers(client, of), seconds=FAILOVER_SECONDS)
    await until(lambda: all_answer(client), seconds=FAILOVER_SECONDS)
    assert await is_to_be_reconciled(client)
    state = (await read_tenants(client, {of: UNKNOWN_VERSION}))[of].state_of("budget:b")
    assert state is not None
    assert state.used == 5
    await client.close()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_with_a_sentinel(watched: Watched, end: signal.Signals) -> None:
    client = open_client(watched.url, timeout_ms=200)
    await merge_windows(client, [window(used=5)])
    await reconcile(client)
    watched.primary.send(end)
    assert not await answers(client, tenant())
    await until(lambda: answers(client, tenant()), seconds=FAILOVER_SECONDS)
    assert await watched.replica.tell("EXISTS", key_of(tenant())) == 1
    assert await is_to_be_reconciled(client)
    await client.close()


async def test_without_any_sentinel_callers_are_told_in_time(unused_tcp_port: int) -> None:
    client = open_client(f"redis+sentinel://127.0.0.1:{unused_tcp_port}/primary", timeout_ms=200)
    async with asyncio.timeout(1):
        assert not any([await answers(client, tenant()) for _ in range(100)])
    await client.close()


async def test_a_primary_that_became_a_replica_is_left_for_the_one_its_address_names_now(watched: Watched) -> None:
    """An address such as a managed service has, which always names the primary, is asked anew."""
    client = open_client(f"redis://127.0.0.1:{watched.primary.port}/0")
    assert await answers(client, tenant())
    before = await connections_to(watched.primary)
    await watched.sentinel.stop()
    await watched.replica.tell("REPLICAOF", "NO", "ONE")
    await watched.primary.tell("REPLICAOF", "127.0.0.1", watched.replica.port)
    assert not await answers(client, tenant())
    assert not await answers(client, tenant())
    assert not before & await connections_to(watched.primary)
    assert not client.batcher.breaker_is_open
    await client.close()


async def connections_to(node: Node) -> set[str]:
    """Through its port; this question comes through its socket."""
    return {client["id"] for client in await node.tell("CLIENT LIST") if client["addr"].startswith("127.0.0.1:")}
