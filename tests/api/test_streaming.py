"""Large answers: every byte in order, whatever the pieces are, and nobody who stops reading is waited for."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing, suppress
from typing import Any

import pytest
import uvloop
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from service.http import streaming
from service.http.streaming import send_pieces
from tests.waiting import until

ENDED = web.AppKey("ended", list[bool])
Serve = Callable[[list[bytes]], Awaitable[TestServer]]


async def start(pieces: list[bytes]) -> TestServer:
    """A server that answers every GET with these pieces; ENDED notes its answers that are over."""
    app = web.Application()
    app[ENDED] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await send_pieces(request, pieces, size_bytes=sum(map(len, pieces)), headers={"X-Kind": "large"})
        finally:
            app[ENDED].append(True)

    app.router.add_get("/", answer)
    server = TestServer(app)
    await server.start_server()
    return server


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[TestServer] = []

    async def start_one(pieces: list[bytes]) -> TestServer:
        servers.append(await start(pieces))
        return servers[-1]

    yield start_one
    for server in servers:
        await server.close()


@pytest.mark.parametrize(
    "pieces",
    [
        [b"{", b"}"],
        [b"x" * streaming._BATCH_BYTES],
        [b"a" * 300_000, b",", b"b" * 300_000, b",", b"c" * 7],
        [b"%d," % number for number in range(5 * streaming._BATCH_PIECES + 1)],
        [bytes([65 + number % 26]) * 70_000 for number in range(100)],
    ],
    ids=["tiny", "one batch", "separated", "more than a system call takes", "7 MB"],
)
async def test_every_byte_arrives_in_order_on_a_connection_that_goes_on(serve: Serve, pieces: list[bytes]) -> None:
    async with TestClient[Any, Any](await serve(pieces)) as client:
        for _ in range(2):
            async with client.get("/") as response:
                assert response.headers["X-Kind"] == "large"
                assert response.headers["Content-Length"] == str(sum(map(len, pieces)))
                assert await response.read() == b"".join(pieces)


async def test_head_answers_the_length_alone(serve: Serve) -> None:
    async with TestClient[Any, Any](await serve([b"x" * 300_000])) as client, client.head("/") as response:
        assert response.headers["Content-Length"] == "300000"
        assert await response.read() == b""


def test_a_reader_that_stops_reading_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_PATIENCE_SECONDS", 0.05)
    # As it is served: Python's own transports took whatever they were given before 3.12.9 and 3.13.2 (CVE-2024-12254).
    uvloop.run(_stop_reading())


async def _stop_reading() -> None:
    # More than the buffers of both sockets take.
    server = await start([b"x" * 100_000] * 300)

    async def is_over() -> bool:
        return bool(server.app[ENDED])

    try:
        with closing(socket.create_connection((server.host, server.port), timeout=10)) as reader:
            reader.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            await until(is_over)
            assert await asyncio.to_thread(_read_to_the_end, reader) < 300 * 100_000
    finally:
        await server.close()


def _read_to_the_end(reader: socket.socket) -> int:
    """How many bytes there were."""
    size_bytes = 0
    with suppress(ConnectionError):
        while received := reader.recv(1_000_000):
            size_bytes += len(received)
    return size_bytes


class Transport(asyncio.Transport):
    """Only notes that it was broken off."""

    aborted = False

    def abort(self) -> None:
        self.aborted = True


async def test_patience_is_of_each_batch_and_not_of_the_whole_answer() -> None:
    transport = Transport()
    patience = streaming._Patience(transport)
    for _ in range(3):
        patience.taken += 1
        patience._look()
        assert not transport.aborted
    patience._look()
    assert transport.aborted
    patience.end()
