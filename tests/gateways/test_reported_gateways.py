"""Real gateways that cannot read answers, with the usage reporter behind them: asked before, told of after."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.store.postgres import Connection
from tests.api.calls import make_entity, send
from tests.conftest import TestApi
from tests.gateways.chat import PROMPT_TOKENS, Client
from tests.gateways.conftest import LLM_KEY, TOKEN
from tests.gateways.gateways import GATEWAYS, Gateway, running_gateway
from tests.gateways.ledger import booked
from tests.gateways.mock import WORDS, asked_of

CONFIGS = [{"provider": "openai", "allowed_models": ["*"], "key_ids": ["*"]}]


@pytest.fixture(params=[*GATEWAYS])
def gateway(request: pytest.FixtureRequest) -> Gateway:
    found = GATEWAYS[request.param]
    if found.binary is None:
        pytest.skip(f"no {request.param}: {found.install}")
    return found


@pytest.fixture
def let_pass() -> bool:
    return False


@pytest.fixture
async def client(
    gateway: Gateway,
    let_pass: bool,
    service: TestServer,
    reporter: TestServer,
    folder: Path,
    session: aiohttp.ClientSession,
) -> AsyncIterator[Client]:
    values = {"service": str(service.port), "reporter": str(reporter.port), "token": TOKEN}
    async with running_gateway(gateway, folder, values, let_pass=let_pass) as port:
        yield Client(session, port)


async def test_calls_reach_the_llm_without_the_client_s_key_and_their_usage_is_booked(
    client: Client, mock: web.Application, key: Any, connection: Connection, folder: Path
) -> None:
    forged = {"X-Governance-Request-Id": "forged", "X-Governance-Virtual-Key-Id": "forged", "x-request-id": "forged"}
    forged |= {"X-Original-URI": "/models/forged:x", "x-governance-team-id": "forged"}
    plain = await client.chat(key, headers=forged | {"x-bf-vk": key["value"]})
    assert (plain.status, plain.body["choices"][0]["message"]["content"]) == (200, " ".join(WORDS))
    stream = await client.chat(key, headers=forged, stream=True)
    events = [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: {")]
    words = [event["choices"][0]["delta"].get("content", "") for event in events if event["choices"]]
    assert "".join(words).split() == list(WORDS)
    for arrived in asked_of(mock):
        assert arrived["headers"]["Authorization"] == f"Bearer {LLM_KEY}"
        assert key["value"] not in str(arrived["headers"])
        assert TOKEN not in str(arrived["headers"])
    for event in await booked(connection, number=2):
        assert (event["virtual_key_id"], event["provider"], event["model"]) == (key["id"], "openai", "gpt-4o")
        assert (event["input_tokens"], event["output_tokens"]) == (PROMPT_TOKENS, len(WORDS))
        assert event["request_id"] != "forged"
    log = (folder / "gateway.log").read_text()
    assert key["value"] not in log
    assert TOKEN not in log


async def test_each_refusal_reaches_the_client_as_it_is_and_not_the_llm(
    client: Client, operator: TestApi, mock: web.Application
) -> None:
    refusals: list[tuple[dict[str, Any], int, str]] = [
        ({"is_active": False}, 403, "access_blocked"),
        ({"budgets": [{"max_limit": 0.000001, "reset_duration": "1d"}]}, 402, "budget_exceeded"),
        ({"rate_limit": {"request_max_limit": 1, "request_reset_duration": "1h"}}, 429, "request_limited"),
    ]
    assert (await client.chat({"value": "sk-bf-nobody"})).status == 401
    for number, (fields, status, kind) in enumerate(refusals):
        refused = await make_entity(operator, "virtual-keys", name=f"vk {number}", provider_configs=CONFIGS, **fields)
        usage = {"request_id": f"before {number}", "virtual_key_id": refused["id"], "cost": 1, "provider": "openai"}
        await send(operator, "POST", "/api/governance/usage", usage)
        answer = await client.chat(refused)
        assert (answer.status, answer.body["type"], answer.body["status_code"]) == (status, kind, status), answer.text
        assert ("Retry-After" in answer.headers) == (status in (402, 429))
    assert asked_of(mock) == []


async def test_calls_are_let_through_until_the_limit_is_exhausted(
    client: Client, operator: TestApi, connection: Connection
) -> None:
    limits = {"token_max_limit": 2 * (PROMPT_TOKENS + len(WORDS)), "token_reset_duration": "1h"}
    key = await make_entity(operator, "virtual-keys", name="ci-bot", provider_configs=CONFIGS, rate_limit=limits)
    for number in (1, 2):
        assert (await client.chat(key, stream=number == 2)).status == 200
        await booked(connection, number=number)
    assert (await client.chat(key)).status == 429


@pytest.mark.parametrize("let_pass", [False, True], ids=["refuse", "let pass"])
async def test_while_the_service_is_down_calls_are_refused_unless_it_is_configured_that_they_pass(
    client: Client, let_pass: bool, service: TestServer, mock: web.Application, key: Any
) -> None:
    assert (await client.chat({"value": "sk-bf-nobody"})).status == 401
    await service.close()
    answer = await client.chat(key)
    assert answer.status == (200 if let_pass else 503)
    assert len(asked_of(mock)) == (1 if let_pass else 0)
