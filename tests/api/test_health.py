"""`/health` says that the process serves, `/ready` that traffic should come; neither waits for a store."""

import asyncio
import signal
import socket
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import urlsplit

import msgspec
import pytest

from service.app import build_app
from service.domain.sealing import new_encryption_key
from service.http.health import LIFECYCLE
from service.settings import Settings
from service.store.postgres import Connection
from tests.conftest import TestApi
from tests.factories import Factory
from tests.servers import Servers, create_empty_database, drop_database
from tests.waiting import until

Client = Callable[..., Awaitable[TestApi]]


@pytest.fixture
def not_terminated() -> Iterator[None]:
    """A worker whose background work fails ends itself by SIGTERM: here that is this process."""
    signals: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    yield
    signal.signal(signal.SIGTERM, before)
    assert signals == []


async def components(api: TestApi) -> dict[str, str]:
    response = await api.get("/health")
    assert response.status == 200
    body = await response.json()
    assert body["status"] == "ok"
    found: dict[str, str] = body["components"]
    return found


async def reason_not_ready(api: TestApi) -> str:
    """The message of `/ready`; empty when it is ready."""
    response = await api.get("/ready")
    if response.status == 200:
        return ""
    assert response.status == 503
    assert int(response.headers["Retry-After"]) >= 1
    reason: str = (await response.json())["error"]["message"]
    return reason


async def wait_for_reason(api: TestApi, part: str) -> None:
    """Until `/ready` answers 503 with `part` in its reason."""

    async def told() -> bool:
        return part in await reason_not_ready(api)

    await until(told)


async def wait_until_ready(api: TestApi) -> None:
    async def ready() -> bool:
        return await reason_not_ready(api) == ""

    await until(ready)


async def test_health_takes_under_10_ms_with_both_stores_unreachable(storeless_api: TestApi) -> None:
    async def both_are_known_down() -> bool:
        return set((await components(storeless_api)).values()).isdisjoint({"ok", "not asked yet"})

    await until(both_are_known_down)
    seconds = []
    for _ in range(51):
        begun = time.perf_counter()
        assert (await storeless_api.get("/health")).status == 200
        seconds.append(time.perf_counter() - begun)
    assert statistics.median(seconds) < 0.010


async def test_health_answers_before_any_store_was_asked(storeless_settings: Settings, aiohttp_client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are taken by the kernel, and nobody speaks
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        urls = {"database_url": f"postgresql://x@{where}/x?sslmode=disable", "redis_url": f"redis://{where}/0"}
        api = await aiohttp_client(build_app(msgspec.structs.replace(storeless_settings, **urls)))
        async with asyncio.timeout(1):
            assert (await components(api))["postgres"] == "not asked yet"
            assert "not asked yet" in await reason_not_ready(api)


async def test_with_both_stores_up_it_is_ready(api: TestApi) -> None:
    await wait_until_ready(api)

    async def both_are_up() -> bool:
        return await components(api) == {"postgres": "ok", "redis": "ok"}

    await until(both_are_up)


async def test_without_postgres_it_is_not_ready(storeless_api: TestApi) -> None:
    await wait_for_reason(storeless_api, "postgres: Postgres does not answer")


async def test_without_redis_it_is_ready(
    settings: Settings, storeless_settings: Settings, aiohttp_client: Client
) -> None:
    api = await aiohttp_client(build_app(msgspec.structs.replace(settings, redis_url=storeless_settings.redis_url)))
    await wait_until_ready(api)

    async def redis_is_known_down() -> bool:
        return (await components(api))["redis"] not in {"ok", "not asked yet"}

    await until(redis_is_known_down)
    assert await reason_not_ready(api) == ""


async def test_on_a_database_that_is_not_migrated_it_is_not_ready(
    settings: Settings, servers: Servers, aiohttp_client: Client
) -> None:
    url = await create_empty_database(servers)
    api = await aiohttp_client(build_app(msgspec.structs.replace(settings, database_url=url)))
    await wait_for_reason(api, "governance migrate")
    assert (await api.get("/api/governance/customers")).status == 503
    await drop_database(servers.postgres_url, urlsplit(url).path.removeprefix("/"))


@pytest.mark.own_database
async def test_on_a_database_that_lacks_the_last_migration_it_names_it(api: TestApi, connection: Connection) -> None:
    name = await connection.fetchval(
        "DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations) RETURNING name"
    )
    await wait_for_reason(api, name)


@pytest.mark.own_database
async def test_on_a_database_of_a_newer_version_it_is_ready(
    settings: Settings, connection: Connection, aiohttp_client: Client
) -> None:
    await connection.execute("INSERT INTO schema_migrations (version, name, sha256) VALUES (9999, 'later', '')")
    await wait_until_ready(await aiohttp_client(build_app(settings)))


async def test_with_another_encryption_key_it_is_not_ready(
    settings: Settings, make: Factory, aiohttp_client: Client
) -> None:
    await make.virtual_key()
    other = new_encryption_key()
    api = await aiohttp_client(build_app(msgspec.structs.replace(settings, encryption_key=other)))
    await wait_for_reason(api, "GOVERNANCE_ENCRYPTION_KEY is not the key")
    assert other not in await reason_not_ready(api)


async def test_one_damaged_virtual_key_does_not_make_it_unready(
    settings: Settings, make: Factory, connection: Connection, aiohttp_client: Client
) -> None:
    await make.virtual_key(id="a-damaged")
    await make.virtual_key(id="b-whole")
    await connection.execute("UPDATE virtual_keys SET value_sealed = 'x' WHERE id = 'a-damaged'")
    await wait_until_ready(await aiohttp_client(build_app(settings)))


@pytest.mark.parametrize("missing", ["database", "user"])
async def test_a_database_or_user_that_does_not_exist_is_told_and_waited_for(
    settings: Settings, aiohttp_client: Client, not_terminated: None, missing: str
) -> None:
    parts = urlsplit(settings.database_url)
    changed = {
        "database": parts._replace(path="/no-such-database"),
        "user": parts._replace(netloc="no-such-user@" + parts.netloc.rpartition("@")[2]),
    }[missing]
    api = await aiohttp_client(build_app(msgspec.structs.replace(settings, database_url=changed.geturl())))
    await wait_for_reason(api, "not ready: postgres: ")

    async def told() -> bool:
        return "not asked yet" not in await reason_not_ready(api)

    await until(told, seconds=3)
    response = await api.get("/api/governance/customers")
    assert response.status == 503
    assert "Retry-After" in response.headers


async def test_while_draining_it_is_not_ready_and_still_serves(api: TestApi) -> None:
    await wait_until_ready(api)
    assert api.app is not None
    api.app[LIFECYCLE].draining = True
    assert await reason_not_ready(api) == "not ready: shutting down"
    assert (await api.get("/health")).status == 200
    assert (await api.get("/api/governance/customers")).status == 200


async def test_a_service_stopped_right_after_its_start_stops_at_once(
    settings: Settings, aiohttp_client: Client
) -> None:
    for _ in range(5):
        api = await aiohttp_client(build_app(settings))
        # Answered without a store: these are still being connected to when the service stops.
        assert (await api.get("/api/governance/customers?limit=x")).status == 400
        async with asyncio.timeout(0.9):
            await api.close()
