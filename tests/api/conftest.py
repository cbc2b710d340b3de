"""The service without stores, for the tests of its answers."""

import socket
from collections.abc import Awaitable, Callable

import pytest

from service.app import build_app
from service.settings import Settings, load_settings
from tests.conftest import ENCRYPTION_KEY, TestApi


def closed_port() -> int:
    """A port of this machine where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def storeless_settings() -> Settings:
    return load_settings(
        {},
        database_url=f"postgresql://nobody@127.0.0.1:{closed_port()}/nothing",
        redis_url=f"redis://127.0.0.1:{closed_port()}/0",
        encryption_key=ENCRYPTION_KEY,
        auth="off",
    )


@pytest.fixture
async def storeless_api(storeless_settings: Settings, aiohttp_client: Callable[..., Awaitable[TestApi]]) -> TestApi:
    """Both stores unreachable: whatever is answered is answered without them."""
    return await aiohttp_client(build_app(storeless_settings))
