"""Valkeys that know each other, on loopback: a cluster, and a primary with a replica and a Sentinel."""

import asyncio
import signal
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from service.embedded.child import Program
from service.embedded.programs import find_valkey
from service.embedded.servers import EmbeddedValkey
from tests.waiting import until

_SLOTS = 16384
_NODE_TIMEOUT_MS = "1000"


class Node(EmbeddedValkey):
    """A Valkey that listens on a port of loopback as well."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port, self.bus_port = free_ports(2)
        here = {"port": str(self.port), "bind": "127.0.0.1", "appendonly": "no", "repl-diskless-sync-delay": "0"}
        super().__init__(folder, settings=here | settings)

    async def tell(self, *command: str | int) -> Any:
        """The answer to one command."""
        async with Redis.from_url(self.url) as redis:
            return await redis.execute_command(*command)  # type: ignore[no-untyped-call]

    async def is_in_step(self) -> bool:
        """Whether it has all that its primary has."""
        return bool((await self.tell("INFO", "replication")).get("master_link_status") == "up")


class ClusterNode(Node):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._settings |= {
            "cluster-enabled": "yes",
            "cluster-port": str(self.bus_port),
            "cluster-node-timeout": _NODE_TIMEOUT_MS,
            "cluster-require-full-coverage": "no",
        }


class Cluster:
    """Primaries that share the slots evenly, and replicas of the first of them."""

    def __init__(self, folder: Path, *, primaries: int = 3, replicas: int = 0) -> None:
        self.nodes = [ClusterNode(folder / f"node-{number}") for number in range(primaries + replicas)]
        self.primaries, self.replicas = self.nodes[:primaries], self.nodes[primaries:]
        self.url = f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.primaries)}"

    async def start(self) -> None:
        await asyncio.gather(*(node.start() for node in self.nodes))
        for number, node in enumerate(self.primaries):
            first, end = (_SLOTS * n // len(self.primaries) for n in (number, number + 1))
            await node.tell("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            await node.tell("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            await self.nodes[0].tell("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        await until(self._all_know_all)
        for replica in self.replicas:
            await replica.tell("CLUSTER", "REPLICATE", await id_of(self.primaries[0]))
        await until(self._all_in_step)

    async def stop(self) -> None:
        await asyncio.gather(*(node.stop() for node in self.nodes))

    async def restore(self) -> None:
        """What was frozen goes on, what was killed is started."""
        for node in self.nodes:
            if node.pid is not None:
                node.send(signal.SIGCONT)
            await node.start()
        await until(self._all_know_all)

    async def _all_know_all(self) -> bool:
        said = [(await node.tell("CLUSTER", "INFO")).decode().splitlines() for node in self.nodes]
        return all({f"cluster_known_nodes:{len(said)}", "cluster_state:ok"} <= set(lines) for lines in said)

    async def _all_in_step(self) -> bool:
        return all([await replica.is_in_step() for replica in self.replicas])


class Watched:
    """A primary and a replica of it, which a Sentinel watches and swaps."""

    name = "the-primary"

    def __init__(self, folder: Path) -> None:
        self.primary = Node(folder / "first")
        self.replica = Node(folder / "second", replicaof=f"127.0.0.1 {self.primary.port}")
        self.sentinel = SentinelNode(folder / "sentinel", watched=f"{self.name} 127.0.0.1 {self.primary.port} 1")
        self.url = f"redis+sentinel://127.0.0.1:{self.sentinel.port}/{self.name}/0"

    async def start(self) -> None:
        await asyncio.gather(self.primary.start(), self.replica.start())
        await until(self.replica.is_in_step)
        await self.sentinel.start()
        await until(self._knows_the_replica)

    async def stop(self) -> None:
        await asyncio.gather(*(node.stop() for node in (self.sentinel, self.replica, self.primary)))

    async def _knows_the_replica(self) -> bool:
        watched = (await self.sentinel.tell("INFO", "sentinel"))["master0"]
        return (watched["status"], watched["slaves"]) == ("ok", 1)


class SentinelNode(Node):
    """The same program as a Sentinel; it keeps what it knows in its file of settings."""

    def __init__(self, folder: Path, *, watched: str) -> None:
        super().__init__(folder)
        self._watched = watched

    def _prepare(self) -> Program:
        program = super()._prepare()
        name = self._watched.partition(" ")[0]
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"unixsocket {self._socket()}",
            f"pidfile {self.pid_file_name}",
            f"sentinel monitor {self._watched}",
            f"sentinel down-after-milliseconds {name} 300",
            f"sentinel failover-timeout {name} 2000",
        ]
        file = program.folder / "sentinel.conf"
        file.write_text("\n".join(lines) + "\n")
        return Program(
            command=(str(find_valkey()), str(file), "--sentinel"),
            folder=program.folder,
            log=program.log,
            death_signal=program.death_signal,
        )


async def id_of(node: Node) -> str:
    answer = await node.tell("CLUSTER", "MYID")
    return answer.decode() if isinstance(answer, bytes) else str(answer)


def free_ports(count: int) -> Sequence[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
