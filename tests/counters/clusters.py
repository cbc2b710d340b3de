"""What tests do to a cluster, and whom they find where."""

from collections.abc import Sequence

from redis.crc import key_slot

from service.counters.client import CounterClient, open_counters
from service.domain.meters import Tenant
from service.settings import load_settings
from tests.valkeys import Cluster, Node, id_of


def open_client(url: str, *, timeout_ms: int = 1000) -> CounterClient:
    database_url = "postgresql://nobody@127.0.0.1:1/none"
    return open_counters(load_settings({}, database_url=database_url, redis_url=url, redis_timeout_ms=timeout_ms))


def key_of(tenant: Tenant, name: str = "x") -> str:
    return f"gov:{{{tenant.id}}}:{name}"


def slot_of(tenant: Tenant) -> int:
    return key_slot(key_of(tenant).encode())


def primary_of(cluster: Cluster, tenant: Tenant) -> Node:
    """As long as no slot was moved."""
    return cluster.primaries[slot_of(tenant) * len(cluster.primaries) // 16384]


def tenants_of(cluster: Cluster, node: Node, count: int) -> list[Tenant]:
    """So many tenants whose keys are there."""
    names = (Tenant(f"customer:{number}", 1) for number in range(100 * count))
    return [tenant for tenant in names if primary_of(cluster, tenant) is node][:count]


async def begin_move(source: Node, target: Node, slot: int) -> None:
    await target.tell("CLUSTER", "SETSLOT", slot, "IMPORTING", await id_of(source))
    await source.tell("CLUSTER", "SETSLOT", slot, "MIGRATING", await id_of(target))


async def move_key(source: Node, target: Node, key: str) -> None:
    await source.tell("MIGRATE", "127.0.0.1", target.port, key, 0, 1000)


async def end_move(cluster: Cluster, target: Node, slot: int) -> None:
    for node in (target, *(node for node in cluster.primaries if node is not target)):
        await node.tell("CLUSTER", "SETSLOT", slot, "NODE", await id_of(target))


async def move_slot(cluster: Cluster, way: tuple[Node, Node], of: Tenant, keys: Sequence[str]) -> None:
    """Of this tenant, with these keys in it."""
    source, target = way
    await begin_move(source, target, slot_of(of))
    for key in keys:
        await move_key(source, target, key)
    await end_move(cluster, target, slot_of(of))


async def redirected(cluster: Cluster) -> int:
    """How many calls were sent to a server that did not have their slot, since the servers started."""
    stats = [await node.tell("INFO", "errorstats") for node in cluster.primaries]
    return sum(int(said.get(f"errorstat_{kind}", {}).get("count", 0)) for said in stats for kind in ("MOVED", "ASK"))
