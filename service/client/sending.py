"""Requests to the service, sent again where that is safe: each carries an id that makes the second one a repeat."""

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import msgspec

from service.client.answers import GovernanceError, UnavailableError

_API = "/api/governance"
_AGAIN = frozenset((502, 503, 504))
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0

Sleep = Callable[[float], Awaitable[None]]


class Sender:
    """Over one session, which is made when it is first needed and ends with `close`."""

    def __init__(self, url: str, *, token: str, timeout_seconds: float, attempts: int, sleep: Sleep) -> None:
        self._url = url.rstrip("/") + _API
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._attempts = attempts
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None

    async def send(self, path: str, body: Mapping[str, Any], *, attempts: int | None = None) -> bytes:
        """The answer. Raises UnavailableError when all attempts fail, GovernanceError for a refusal."""
        for attempt in range(1, attempts or self._attempts):
            try:
                return await self._post(path, body)
            except UnavailableError as error:
                pause_seconds = _pause_seconds(attempt, error)
            await self._sleep(pause_seconds)
        return await self._post(path, body)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _post(self, path: str, body: Mapping[str, Any]) -> bytes:
        try:
            async with self._open_session().post(f"{self._url}/{path}", data=msgspec.json.encode(body)) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnavailableError(0, f"the governance service does not answer: {type(error).__name__}") from error
        if response.status in _AGAIN:
            retry_after_seconds = _seconds(response.headers.get("Retry-After"))
            raise UnavailableError(response.status, _message(answer), retry_after_seconds=retry_after_seconds)
        if response.status != 200:
            raise GovernanceError(response.status, _message(answer))
        return answer

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = self._headers | {"Content-Type": "application/json"}
            self._session = aiohttp.ClientSession(headers=headers, timeout=self._timeout)
        return self._session


def _pause_seconds(attempt: int, failure: UnavailableError) -> float:
    """Longer each time, and never for many clients at once; what the service asks for goes before."""
    pause = failure.retry_after_seconds
    if pause is None:
        pause = _FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * (1 + random.random())  # noqa: S311  # no secret
    return min(pause, _LONGEST_PAUSE_SECONDS)


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() else None


def _message(answer: bytes) -> str:
    """Of the envelope; what is none came from something on the way."""
    try:
        return str(msgspec.json.decode(answer)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError):
        return "no answer of the governance service"
