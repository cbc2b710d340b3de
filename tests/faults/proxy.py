"""A proxy in front of Redis that loses a reply when told to: the command was carried out, and nobody hears of it.

Or it holds commands back: who sent them waits, and Redis never hears of them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

Loss = Literal["silence", "cut"]


class LosingProxy:
    """`lose_next` set: the next reply is swallowed, or the connection is cut in its place.

    `hold_back` set: commands that name it are not passed on; `held_back` tells when that happened.
    """

    def __init__(self, redis_url: str) -> None:
        self._target = urlsplit(redis_url)
        self.lose_next: Loss | None = None
        self.lost = 0
        self.hold_back: bytes | None = None
        self.held_back = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def close(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            redis_reader, redis_writer = await self._connect()
        except OSError:
            writer.close()  # as it is without a proxy: nobody listens
            return
        commands = asyncio.create_task(self._pass_on(reader, redis_writer))
        try:
            await self._pass_replies(redis_reader, writer)
        finally:
            commands.cancel()
            for stream in (redis_writer, writer):
                stream.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._target.scheme == "unix":
            return await asyncio.open_unix_connection(self._target.path)
        return await asyncio.open_connection(self._target.hostname, self._target.port or 6379)

    async def _pass_replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while reply := await reader.read(65536):
                if self.lose_next is None:
                    writer.write(reply)
                    continue
                loss, self.lose_next = self.lose_next, None
                self.lost += 1
                if loss == "cut":
                    return

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while commands := await reader.read(65536):
                if self.hold_back is not None and self.hold_back in commands:
                    self.held_back.set()
                else:
                    writer.write(commands)
        writer.close()


@asynccontextmanager
async def losing_proxy(redis_url: str) -> AsyncIterator[tuple[LosingProxy, str]]:
    """The proxy, and the URL of the same database through it."""
    proxy = LosingProxy(redis_url)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    parts = urlsplit(redis_url)
    user, at, _ = parts.netloc.rpartition("@")
    port = server.sockets[0].getsockname()[1]
    database = "/0" if parts.scheme == "unix" else parts.path
    try:
        yield proxy, f"redis://{user}{at}127.0.0.1:{port}{database}"
    finally:
        server.close()
        await proxy.close()
