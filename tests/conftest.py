"""Fixtures every test can ask for. Each test finds an empty database and an empty Redis."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hypothesis  # noqa: F401  # first imported while pytest reports, it can break the report
import pytest
from aiohttp.test_utils import TestClient
from redis.asyncio import Redis

from service.app import build_app
from service.counters.client import CounterClient, open_counters
from service.domain.sealing import Sealer, new_encryption_key, parse_encryption_key
from service.settings import Settings, load_settings
from service.store.postgres import Connection, Store, connect, open_store
from tests.factories import Factory
from tests.servers import Servers, clone_template, drop_database, plain_client, running_servers
from tests.shared_database import SharedDatabase

# What is set for a person's own deployment must not reach the tests.
for variable in list(os.environ):
    if variable in ("DATABASE_URL", "REDIS_URL", "HOST", "PORT", "WORKERS") or variable.startswith("GOVERNANCE_"):
        del os.environ[variable]

ENCRYPTION_KEY = new_encryption_key()
TestApi = TestClient[Any, Any]


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture(scope="session")
def servers(worker_id: str) -> Iterator[Servers]:
    number = 0 if worker_id == "master" else int(worker_id.removeprefix("gw"))
    # Not under pytest's own folder: that is closed to the user Postgres runs as when the tests run as root.
    with tempfile.TemporaryDirectory(prefix="governance-tests-") as folder:
        Path(folder).chmod(0o711)
        with running_servers(Path(folder) / "state", number) as running:
            yield running


@pytest.fixture(scope="session")
def shared_database(servers: Servers) -> Iterator[SharedDatabase]:
    """What is swept after each test."""
    database = SharedDatabase(asyncio.run(clone_template(servers)))
    yield database
    database.close()
    asyncio.run(drop_database(servers.postgres_url, urlsplit(database.url).path.removeprefix("/")))


@pytest.fixture
def database_url(request: pytest.FixtureRequest, servers: Servers, shared_database: SharedDatabase) -> Iterator[str]:
    """A migrated database without rows; of its own for a test marked `own_database`."""
    if request.node.get_closest_marker("own_database") is None:
        yield shared_database.url
        shared_database.sweep()
        return
    url = asyncio.run(clone_template(servers))
    yield url
    asyncio.run(drop_database(servers.postgres_url, urlsplit(url).path.removeprefix("/")))


@pytest.fixture
async def redis(servers: Servers) -> AsyncIterator[Redis]:
    """A plain client, for looking at what is there; the database is empty when the test begins."""
    client = plain_client(servers.redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
def settings(database_url: str, redis: Redis, servers: Servers) -> Settings:
    return load_settings(
        {},
        database_url=database_url,
        redis_url=servers.redis_url,
        encryption_key=ENCRYPTION_KEY,
        auth="off",
        redis_timeout_ms=5000,
        maintenance_interval_minutes=0,
    )


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(parse_encryption_key(ENCRYPTION_KEY))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """A connection beside the service's: what an operator does with psql."""
    connection = await connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def make(connection: Connection, sealer: Sealer) -> Factory:
    return Factory(connection, sealer)


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    store = await open_store(settings)
    yield store
    await store.close()


@pytest.fixture
async def counters(settings: Settings) -> AsyncIterator[CounterClient]:
    client = open_counters(settings)
    yield client
    await client.close()


@pytest.fixture
async def api(settings: Settings, clock: Clock, aiohttp_client: Callable[..., Awaitable[TestApi]]) -> TestApi:
    """The service over HTTP, on the test's clock."""
    return await aiohttp_client(build_app(settings, clock=clock))
