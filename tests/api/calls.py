"""Calls of the API, as a client makes them."""

from typing import Any

from tests.conftest import TestApi

API = "/api/governance"
VIRTUAL_KEYS = f"{API}/virtual-keys"


async def send(api: TestApi, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """The status and the decoded answer."""
    response = await api.request(method, path, json=body, headers=headers)
    return response.status, await response.json()


async def make_entity(api: TestApi, kind: str, **fields: Any) -> Any:
    """The entity a POST of `fields` made: kind is `customers`, `teams` or `virtual-keys`."""
    status, answer = await send(api, "POST", f"{API}/{kind}", fields)
    assert status == 200, answer
    return answer[kind.removesuffix("s").replace("-", "_")]


async def read_entity(api: TestApi, kind: str, entity_id: str) -> Any:
    status, answer = await send(api, "GET", f"{API}/{kind}/{entity_id}")
    assert status == 200, answer
    return answer[kind.removesuffix("s").replace("-", "_")]
