"""Servers these tests may break."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from service.app import build_app
from tests.conftest import TestApi
from tests.faults.stores import Budget, Stores, make_budget
from tests.waiting import until


@pytest.fixture(scope="module")
def running_stores() -> Iterator[Stores]:
    with tempfile.TemporaryDirectory(prefix="governance-faults-") as folder:
        Path(folder).chmod(0o711)  # Postgres runs as another user when the tests run as root
        stores = Stores(Path(folder) / "state")
        try:
            asyncio.run(stores.prepare())
            yield stores
        finally:
            asyncio.run(stores.stop())


@pytest.fixture
async def stores(running_stores: Stores) -> AsyncIterator[Stores]:
    """Both up when the test begins; what it froze goes on, and what it killed is started again, when it ends."""
    yield running_stores
    for server in (running_stores.postgres, running_stores.valkey):
        if server.pid is not None:
            server.send(signal.SIGCONT)
        await server.start()


@pytest.fixture
async def budget(stores: Stores) -> Budget:
    return await make_budget(stores)


@pytest.fixture
async def broken_api(stores: Stores, aiohttp_client: Callable[..., Awaitable[TestApi]]) -> TestApi:
    """The service on the stores that will break, with its default settings; ready."""
    api: TestApi = await aiohttp_client(build_app(stores.settings))

    async def ready() -> bool:
        return (await api.get("/ready")).status == 200

    await until(ready)
    return api
