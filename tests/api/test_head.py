"""HEAD answers what GET answers, without the body."""

import pytest

from tests.api.raw_http import send_raw
from tests.conftest import TestApi
from tests.factories import Factory
from tests.reading import CUSTOMERS


@pytest.mark.parametrize("path", ["/health", CUSTOMERS, f"{CUSTOMERS}/acme", f"{CUSTOMERS}/nobody"])
async def test_head_answers_the_head_of_get(api: TestApi, make: Factory, path: str) -> None:
    await make.customer(id="acme")
    get, head = await api.get(path), await api.head(path)
    assert head.status == get.status
    for name in ("Content-Length", "Content-Type", "X-Governance-Usage-Source", "Cache-Control"):
        assert head.headers.get(name) == get.headers.get(name), name
    assert await head.read() == b""


async def test_the_head_of_a_large_tree_has_no_body(api: TestApi, make: Factory) -> None:
    await make.customer(id="acme")
    for _ in range(100):
        await make.virtual_key(customer_id="acme", description="x" * 4000)
    size_bytes = len(await (await api.get(CUSTOMERS)).read())
    assert size_bytes > 400_000
    answer = await send_raw(api, f"HEAD {CUSTOMERS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.status == 200
    assert f"content-length: {size_bytes}" in answer.head.lower()
    assert answer.rest == b""
