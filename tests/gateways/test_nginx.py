"""A real nginx with `deploy/nginx/` between clients and a mock LLM: asked before each call, told of it after."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.store.postgres import Connection
from tests.api.calls import make_entity, send
from tests.conftest import TestApi
from tests.gateways.chat import HELLO, PROMPT_TOKENS, Client
from tests.gateways.conftest import LLM_KEY, TOKEN
from tests.gateways.ledger import booked
from tests.gateways.mock import WORDS, asked_of
from tests.gateways.nginx import needs_nginx, running_nginx

pytestmark = needs_nginx
_REFUSE = "            # error_page 502 504 = @let_pass;"
_LET_PASS = "            error_page 502 504 = @let_pass;"


@pytest.fixture
def policy() -> dict[str, str]:
    """What else is replaced in the configuration."""
    return {}


@pytest.fixture
async def client(
    service: TestServer, llm: TestServer, folder: Path, session: aiohttp.ClientSession, policy: dict[str, str]
) -> AsyncIterator[Client]:
    async with running_nginx("nginx.conf", folder, service=service.port, llm=llm.port, replaced=policy) as port:
        yield Client(session, port)


async def test_an_allowed_call_reaches_the_llm_without_the_client_s_key_and_its_usage_is_booked(
    client: Client, mock: web.Application, key: Any, connection: Connection
) -> None:
    forged = {"X-Governance-Request-Id": "forged", "x-governance-token": "forged", "x-request-id": "forged"}
    answer = await client.chat(key, headers=forged | {"x-bf-vk": key["value"]})
    assert (answer.status, answer.body["choices"][0]["message"]["content"]) == (200, " ".join(WORDS))
    (arrived,) = asked_of(mock)
    assert arrived["headers"]["Authorization"] == f"Bearer {LLM_KEY}"
    assert key["value"] not in str(arrived["headers"])
    assert TOKEN not in str(arrived["headers"])
    (event,) = await booked(connection)
    assert event["request_id"] == answer.headers["X-Governance-Request-Id"] != "forged"
    assert (event["virtual_key_id"], event["provider"], event["model"]) == (key["id"], "openai", "gpt-4o")
    assert (event["input_tokens"], event["output_tokens"]) == (PROMPT_TOKENS, len(WORDS))
    assert answer.headers["RateLimit"].startswith('"tokens";r=1000;t=')


async def test_a_stream_arrives_as_it_was_sent_and_its_usage_is_booked(
    client: Client, key: Any, connection: Connection
) -> None:
    answer = await client.chat(key, stream=True)
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    words = [event["choices"][0]["delta"].get("content", "") for event in events if event["choices"]]
    assert "".join(words).split() == list(WORDS)
    assert answer.text.endswith("data: [DONE]\n\n")
    (event,) = await booked(connection)
    assert (event["input_tokens"], event["output_tokens"], event["status"]) == (PROMPT_TOKENS, len(WORDS), "success")


async def test_an_answer_that_does_not_say_what_it_used_is_booked_as_a_success(
    client: Client, key: Any, connection: Connection
) -> None:
    await client.chat(key, stream=True, model="silent")
    (event,) = await booked(connection)
    assert (event["status"], event["input_tokens"], event["priced"]) == ("success", 0, False)


async def test_a_call_that_failed_is_booked_as_an_error_and_gives_back_what_it_held(
    client: Client, key: Any, connection: Connection
) -> None:
    assert (await client.chat(key, model="broken")).status == 500
    (event,) = await booked(connection)
    assert (event["status"], event["input_tokens"]) == ("error", 0)


async def test_a_client_that_goes_away_in_mid_stream_does_not_get_it_for_free(
    client: Client, session: aiohttp.ClientSession, key: Any, connection: Connection
) -> None:
    sent = {"Authorization": f"Bearer {key['value']}"}
    async with session.post(f"{client.url}/chat/completions", json=HELLO | {"stream": True}, headers=sent) as response:
        await response.content.readany()
        response.close()
    (event,) = await booked(connection)
    assert event["status"] == "success"


REFUSALS: list[tuple[dict[str, Any], int, str]] = [
    ({"value": "sk-bf-nobody"}, 401, "access_not_found"),
    ({"is_active": False}, 403, "access_blocked"),
    ({"provider_configs": []}, 403, "provider_blocked"),
    ({"budgets": [{"max_limit": 0.000001, "reset_duration": "1d"}]}, 402, "budget_exceeded"),
    ({"rate_limit": {"request_max_limit": 1, "request_reset_duration": "1h"}}, 429, "request_limited"),
]


async def test_each_refusal_reaches_the_client_with_its_status_and_body_and_not_the_llm(
    client: Client, operator: TestApi, mock: web.Application, connection: Connection
) -> None:
    configs = [{"provider": "openai", "allowed_models": ["*"], "key_ids": ["*"]}]
    for number, (fields, status, kind) in enumerate(REFUSALS):
        given = {"name": f"vk {number} ü", "provider_configs": configs} | fields
        value = given.pop("value", None)
        refused = await make_entity(operator, "virtual-keys", **given)
        if status in (402, 429):
            usage = {"request_id": f"before {number}", "virtual_key_id": refused["id"], "cost": 1, "provider": "openai"}
            await send(operator, "POST", "/api/governance/usage", usage)
        answer = await client.chat({"value": value} if value else refused)
        assert (answer.status, answer.body["type"], answer.body["status_code"]) == (status, kind, status), answer.text
        assert value or f"vk {number} ü" in answer.body["error"]["message"]
        assert ("Retry-After" in answer.headers) == (status in (402, 429))
        assert ("RateLimit" in answer.headers) == (status == 429)
        assert answer.headers["X-Governance-Request-Id"]
    assert asked_of(mock) == []
    assert len(await booked(connection, number=2)) == 2


async def test_calls_are_let_through_until_the_budget_is_exhausted(
    client: Client, operator: TestApi, connection: Connection
) -> None:
    configs = [{"provider": "openai", "allowed_models": ["*"], "key_ids": ["*"]}]
    limits = {"token_max_limit": 2 * (PROMPT_TOKENS + len(WORDS)), "token_reset_duration": "1h"}
    key = await make_entity(operator, "virtual-keys", name="ci-bot", provider_configs=configs, rate_limit=limits)
    for number in (1, 2):
        assert (await client.chat(key, stream=number == 2)).status == 200
        await booked(connection, number=number)
    answer = await client.chat(key)
    assert (answer.status, answer.body["type"]) == (429, "token_limited")


@pytest.mark.parametrize("policy", [{}], ids=["refuse"])
async def test_while_the_service_is_down_calls_are_refused(
    client: Client, service: TestServer, mock: web.Application, key: Any
) -> None:
    await service.close()
    answer = await client.chat(key)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert answer.body["error"]["type"] == "governance_unavailable"
    assert asked_of(mock) == []


@pytest.mark.parametrize("policy", [{_REFUSE: _LET_PASS}], ids=["let pass"])
async def test_while_the_service_is_down_calls_pass_where_that_is_configured_and_refusals_are_still_refusals(
    client: Client, service: TestServer, key: Any, mock: web.Application
) -> None:
    assert (await client.chat({"value": "sk-bf-nobody"})).status == 401
    await service.close()
    assert (await client.chat(key)).status == 200
    assert len(asked_of(mock)) == 1


async def test_an_openai_client_needs_only_the_address_and_a_virtual_key(
    client: Client, key: Any, connection: Connection
) -> None:
    async with openai.AsyncOpenAI(base_url=client.url, api_key=key["value"], max_retries=0, timeout=10) as llm:
        messages: list[Any] = HELLO["messages"]  # type: ignore[assignment]
        plain = await llm.chat.completions.create(model="gpt-4o", messages=messages)
        assert plain.choices[0].message.content == " ".join(WORDS)
        stream = await llm.chat.completions.create(
            model="gpt-4o", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(texts).split() == list(WORDS)
    events = await booked(connection, number=2)
    assert [event["input_tokens"] + event["output_tokens"] for event in events] == [PROMPT_TOKENS + len(WORDS)] * 2


async def test_an_openai_client_is_told_of_a_refusal_in_its_own_terms(client: Client, operator: TestApi) -> None:
    limits = {"request_max_limit": 1, "request_reset_duration": "1h"}
    configs = [{"provider": "openai", "allowed_models": ["*"], "key_ids": ["*"]}]
    key = await make_entity(operator, "virtual-keys", name="ci-bot", provider_configs=configs, rate_limit=limits)
    async with openai.AsyncOpenAI(base_url=client.url, api_key=key["value"], max_retries=0, timeout=10) as llm:
        await llm.models.list()
        with pytest.raises(openai.RateLimitError, match="request limit exceeded"):
            await llm.models.list()
