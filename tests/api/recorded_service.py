"""A running service, asked by many, and every answer it gave."""

import asyncio
from collections.abc import Mapping

import aiohttp
import msgspec


class Answered(msgspec.Struct, frozen=True):
    """`to` is who asked."""

    to: str
    asked: str
    status: int
    text: str


class Service:
    """The running service, and every answer it has given."""

    def __init__(self, port: int, bearers: Mapping[str, str]) -> None:
        self.port = port
        self.bearers = bearers
        self.answers: list[Answered] = []
        self._session = aiohttp.ClientSession(base_url=f"http://127.0.0.1:{port}")

    async def ask(
        self, to: str, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answered:
        sent = {"Authorization": f"Bearer {self.bearers[to]}"} if to in self.bearers else {}
        if body is not None:
            sent["Content-Type"] = "application/json"
        async with self._session.request(method, path, data=body, headers={**sent, **(headers or {})}) as response:
            answered = Answered(to, f"{method} {path}", response.status, await response.text())
        self.answers.append(answered)
        return answered

    async def say(self, raw: bytes) -> None:
        """Bytes that are not HTTP."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(raw)
        writer.write_eof()
        async with asyncio.timeout(10):
            text = (await reader.read()).decode("latin-1")
        writer.close()
        self.answers.append(Answered("nobody", repr(raw), 400, text))

    async def close(self) -> None:
        await self._session.close()
