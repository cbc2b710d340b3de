"""A real nginx that asks with bodies: what a call is for, and may use, is known before it is made."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.store.postgres import Connection
from tests.api.calls import make_entity
from tests.conftest import TestApi
from tests.gateways.chat import PROMPT_TOKENS, Client
from tests.gateways.ledger import booked
from tests.gateways.mock import WORDS, asked_of
from tests.gateways.nginx import needs_nginx, running_nginx

pytestmark = needs_nginx


@pytest.fixture
async def client(
    service: TestServer, llm: TestServer, folder: Path, session: aiohttp.ClientSession
) -> AsyncIterator[Client]:
    name = "nginx-with-bodies.conf"
    async with running_nginx(name, folder, service=service.port, llm=llm.port, replaced={}) as port:
        yield Client(session, port)


async def test_a_key_that_is_restricted_to_models_may_call_those(
    client: Client, operator: TestApi, mock: web.Application, connection: Connection
) -> None:
    configs = [{"provider": "openai", "allowed_models": ["gpt-4o"], "key_ids": ["*"]}]
    key = await make_entity(operator, "virtual-keys", name="ci-bot ü", provider_configs=configs)
    assert (await client.chat(key, stream=True)).status == 200
    refused = await client.chat(key, model="o3")
    assert (refused.status, refused.body["type"]) == (403, "model_blocked")
    assert "ci-bot ü" in refused.body["error"]["message"]
    assert len(asked_of(mock)) == 1
    (event,) = await booked(connection)
    assert (event["model"], event["input_tokens"] + event["output_tokens"]) == ("gpt-4o", PROMPT_TOKENS + len(WORDS))


async def test_a_call_that_asks_for_more_than_there_is_is_refused_before_it_is_made(
    client: Client, key: Any, mock: web.Application
) -> None:
    refused = await client.chat(key, max_tokens=1000)
    assert (refused.status, refused.body["type"]) == (429, "token_limited")
    assert refused.headers["Retry-After"]
    assert asked_of(mock) == []
    allowed = await client.chat(key, max_tokens=500)
    assert allowed.headers["RateLimit"].startswith('"tokens";r=49')


async def test_while_the_service_is_down_calls_are_refused(
    client: Client, service: TestServer, key: Any, mock: web.Application
) -> None:
    await service.close()
    answer = await client.chat(key)
    assert (answer.status, answer.body["type"]) == (503, "governance_unavailable")
    assert asked_of(mock) == []
