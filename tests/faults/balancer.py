"""A load balancer: connections in turn to the servers that say they are ready, as an orchestrator's does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import aiohttp

from tests.faults.processes import ask

_ASK_EVERY_SECONDS = 0.1


class Balancer:
    """`port` is its own; `servers` are ports, of which those that are `ready` are used."""

    port: int

    def __init__(self, servers: list[int]) -> None:
        self.servers = servers
        self.ready: list[int] = []
        self._turns = count()

    async def watch(self) -> None:
        while True:
            self.ready = [port for port in list(self.servers) if await _is_ready(port)]
            await asyncio.sleep(_ASK_EVERY_SECONDS)

    def next_server(self) -> int:
        return self.ready[next(self._turns) % len(self.ready)]


class _Side(asyncio.Protocol):
    """One side of a connection: what arrives goes to the other, and they end together."""

    def __init__(self, other: "asyncio.Transport | None" = None) -> None:
        self.other = other
        self.early = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early += data
        else:
            self.other.write(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self.other is not None:
            self.other.close()


class _Client(_Side):
    def __init__(self, balancer: Balancer) -> None:
        super().__init__()
        self._balancer = balancer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._joining = asyncio.create_task(self._join())

    async def _join(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            server, _ = await loop.create_connection(
                lambda: _Side(self.transport), "127.0.0.1", self._balancer.next_server()
            )
        except OSError:
            assert self.transport is not None
            self.transport.abort()
            return
        server.write(self.early)
        self.other = server


@asynccontextmanager
async def balancing(servers: list[int]) -> AsyncIterator[Balancer]:
    balancer = Balancer(servers)
    watch = asyncio.create_task(balancer.watch())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Client(balancer), "127.0.0.1", 0)
    balancer.port = server.sockets[0].getsockname()[1]
    try:
        yield balancer
    finally:
        server.close()
        watch.cancel()


async def _is_ready(port: int) -> bool:
    try:
        return (await ask(port, "/ready"))[0] == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
