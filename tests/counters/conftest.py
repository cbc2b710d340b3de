"""Counters need no database: these settings name one that is not there."""

import pytest
from redis.asyncio import Redis

from service.settings import Settings, load_settings
from tests.servers import Servers


@pytest.fixture
def settings(redis: Redis, servers: Servers) -> Settings:
    return load_settings(
        {}, database_url="postgresql://nobody@127.0.0.1:1/none", redis_url=servers.redis_url, redis_timeout_ms=1000
    )
