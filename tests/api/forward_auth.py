"""Virtual keys to ask forward auth with, and the answers."""

from typing import Any

from tests.api.calls import make_entity, send
from tests.conftest import TestApi

USAGE = "/api/governance/usage"


async def make_key(api: TestApi, **fields: Any) -> Any:
    """A virtual key that may call any provider unless told otherwise."""
    configs = [{"provider": "openai", "allowed_models": ["*"], "key_ids": ["*"]}]
    return await make_entity(api, "virtual-keys", **({"name": "ci-bot", "provider_configs": configs} | fields))


async def report(api: TestApi, request_id: str, key: Any, **fields: Any) -> Any:
    """Usage of a call, by the id forward auth gave it."""
    body = {"request_id": request_id, "virtual_key_id": key["id"], **fields}
    status, answer = await send(api, "POST", USAGE, body)
    assert status == 200, answer
    return answer
