"""A gateway as the service meets one: many calls at once, over HTTP, against several workers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import aiohttp
import msgspec

API = "/api/governance"
_CONNECTIONS = 96
_ATTEMPTS = 5
_decode = msgspec.json.Decoder().decode


class Answer(msgspec.Struct, frozen=True):
    """`body` is the decoded JSON."""

    status: int
    body: Any


class NoAnswerError(Exception):
    """Nobody can tell whether the request was carried out."""


class Gateway:
    """Sends requests to the workers in turn, unless told which."""

    def __init__(self, session: aiohttp.ClientSession, ports: Sequence[int]) -> None:
        self._session = session
        self.ports = ports
        self._turns = count()

    async def send(
        self, method: str, path: str, body: Any = None, *, port: int | None = None, seconds: float = 30
    ) -> Answer:
        """Raises NoAnswerError."""
        if port is None:
            port = self.ports[next(self._turns) % len(self.ports)]
        url, timeout = f"http://127.0.0.1:{port}{API}/{path}", aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.request(method, url, json=body, timeout=timeout) as response:
                return Answer(response.status, _decode(await response.read()))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoAnswerError from error

    async def make(self, path: str, **fields: Any) -> Any:
        """The body that answers a POST. Raises AssertionError for a refusal."""
        answer = await self.send("POST", path, fields)
        assert answer.status == 200, answer
        return answer.body

    async def authorize(self, **call: Any) -> Any:
        """The verdict. Asked for again when the service says that it cannot tell now (Postgres is that busy at times).

        Raises AssertionError for anything else.
        """
        call = {"request_id": f"{id(self)} {next(self._turns)}"} | call
        for _ in range(_ATTEMPTS):
            answer = await self.send("POST", "authorize", call)
            if answer.status != 503:
                break
        assert answer.status == 200, answer
        return answer.body

    async def report(self, *events: dict[str, Any]) -> list[str]:
        """What became of each. Raises AssertionError for a refusal of the whole."""
        answer = await self.send("POST", "usage", events)
        assert answer.status == 200, answer
        return [each["status"] for each in answer.body["results"]]


@asynccontextmanager
async def gateway_to(ports: Sequence[int]) -> AsyncIterator[Gateway]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_CONNECTIONS)) as session:
        yield Gateway(session, ports)
