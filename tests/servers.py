"""The stores the tests run against: real ones, started here, or those named by TEST_DATABASE_URL and TEST_REDIS_URL.

With TEST_REDIS_CLUSTER=1 Redis is a cluster of three.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import msgspec
from redis.asyncio import Redis, RedisCluster

from service.embedded.servers import EmbeddedPostgres, EmbeddedValkey
from service.store.migrations import migrate, read_migrations
from tests.valkeys import Cluster

# A lost machine loses nothing that matters here.
FAST_POSTGRES = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Servers(msgspec.Struct, frozen=True):
    """`postgres_url` names a server and a database to make others from; `redis_url` a database of its own."""

    postgres_url: str
    redis_url: str
    template: str


@contextmanager
def running_servers(folder: Path, worker_number: int) -> Iterator[Servers]:
    """The servers of one test process, with a migrated template database."""
    postgres_url = os.environ.get("TEST_DATABASE_URL")
    redis_url = os.environ.get("TEST_REDIS_URL")
    postgres = None if postgres_url else EmbeddedPostgres(folder, settings=FAST_POSTGRES)
    valkey = None if redis_url else _embedded_redis(folder)
    started = [server for server in (postgres, valkey) if server]
    try:
        for server in started:
            asyncio.run(server.start())
        url = postgres_url or postgres.url  # type: ignore[union-attr]  # one of the two is there
        template = f"governance_template_{uuid4().hex[:8]}"
        asyncio.run(_make_template(url, template))
        # Test processes that share a named server keep to a database number each.
        redis = f"{redis_url}/{worker_number}" if redis_url else valkey.url  # type: ignore[union-attr]
        yield Servers(url, redis, template)
        asyncio.run(drop_database(url, template))
    finally:
        for server in started:
            asyncio.run(server.stop())


def plain_client(redis_url: str) -> Redis:
    """Beside the service's, for looking at what is there."""
    if not redis_url.startswith("redis+cluster://"):
        return Redis.from_url(redis_url)
    first = redis_url.removeprefix("redis+cluster://").partition(",")[0]
    # It has the methods of the other, but no type in common with it.
    return cast("Redis", _PlainCluster.from_url(f"redis://{first}"))


class _PlainCluster(RedisCluster):
    async def keys(self, pattern: str = "*") -> Any:  # type: ignore[override]
        """Of every server."""
        return await super().keys(pattern, target_nodes=self.PRIMARIES)


def _embedded_redis(folder: Path) -> EmbeddedValkey | Cluster:
    return Cluster(folder) if os.environ.get("TEST_REDIS_CLUSTER") == "1" else EmbeddedValkey(folder)


async def clone_template(servers: Servers) -> str:
    """The URL of a fresh copy of the migrated database."""
    name = f"governance_test_{uuid4().hex[:12]}"
    await _execute(servers.postgres_url, f'CREATE DATABASE "{name}" TEMPLATE "{servers.template}"')
    return url_of_database(servers.postgres_url, name)


async def create_empty_database(servers: Servers) -> str:
    """The URL of a database without any migration."""
    name = f"governance_test_{uuid4().hex[:12]}"
    await _execute(servers.postgres_url, f'CREATE DATABASE "{name}" TEMPLATE template0')
    return url_of_database(servers.postgres_url, name)


async def drop_database(server_url: str, name: str) -> None:
    await _execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def url_of_database(server_url: str, name: str) -> str:
    parts = urlsplit(server_url)
    return urlunsplit((parts.scheme, parts.netloc, f"/{name}", parts.query, ""))


async def _make_template(server_url: str, name: str) -> None:
    await _execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE template0')
    connection = await asyncpg.connect(url_of_database(server_url, name))
    await migrate(connection, read_migrations())
    await connection.close()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()
