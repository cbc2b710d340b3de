"""Requests that change something, and all of what is answered."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tests.conftest import TestApi


class Answered(msgspec.Struct, frozen=True):
    """`body` is the decoded JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


async def send(
    api: TestApi, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> Answered:
    async with api.request(method, path, json=body, headers=headers) as response:
        return Answered(response.status, response.headers, await response.json())
