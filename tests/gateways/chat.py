"""Clients of gateways: they ask for a chat completion with a virtual key."""

import json
from typing import Any

import aiohttp
import msgspec

HELLO = {"model": "gpt-4o", "messages": [{"role": "user", "content": "say hello to me"}]}
PROMPT_TOKENS = 4


class Answer(msgspec.Struct, frozen=True):
    """`text` is all of the body."""

    status: int
    headers: Any
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


class Client:
    """Of the gateway."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self.url = f"http://127.0.0.1:{port}/v1"

    async def chat(self, key: Any, *, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
        sent = {"Authorization": f"Bearer {key['value']}", **(headers or {})}
        async with self._session.post(f"{self.url}/chat/completions", json=HELLO | fields, headers=sent) as response:
            return Answer(response.status, response.headers, await response.text())
