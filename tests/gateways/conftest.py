"""The service, asking for tokens, and a mock LLM: what gateways stand between."""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.app import build_app
from service.settings import Settings
from tests.api.calls import make_entity
from tests.conftest import TestApi
from tests.gateways.mock import build_mock
from tests.gateways.reporter import build_reporter

TOKEN = "a-token-of-the-gateway-of-32-characters"
LLM_KEY = "sk-of-the-provider"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Open to the user that gateways run as when the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="gateway-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
async def service(settings: Settings, aiohttp_server: Callable[..., Awaitable[TestServer]]) -> TestServer:
    asking = msgspec.structs.replace(settings, auth="on", admin_token=TOKEN)
    return await aiohttp_server(build_app(asking))


@pytest.fixture
async def operator(service: TestServer) -> AsyncIterator[TestApi]:
    """Who makes virtual keys and looks at usage."""
    async with aiohttp.test_utils.TestClient(service, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


@pytest.fixture
def mock() -> web.Application:
    return build_mock()


@pytest.fixture
async def llm(mock: web.Application, aiohttp_server: Callable[..., Awaitable[TestServer]]) -> TestServer:
    return await aiohttp_server(mock)


@pytest.fixture
async def key(operator: TestApi) -> Any:
    """A virtual key with a price per token that fits its budget, and room in it."""
    configs = [{"provider": "openai", "allowed_models": ["*"], "key_ids": ["*"]}]
    limits = {"token_max_limit": 1000, "token_reset_duration": "1h"}
    return await make_entity(operator, "virtual-keys", name="ci-bot", provider_configs=configs, rate_limit=limits)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


@pytest.fixture
async def reporter(
    service: TestServer, llm: TestServer, aiohttp_server: Callable[..., Awaitable[TestServer]]
) -> TestServer:
    environment = {
        "GOVERNANCE_URL": f"http://127.0.0.1:{service.port}",
        "GOVERNANCE_TOKEN": TOKEN,
        "LLM_URL": f"http://127.0.0.1:{llm.port}",
        "OPENAI_API_KEY": LLM_KEY,
    }
    return await aiohttp_server(build_reporter(environment))
