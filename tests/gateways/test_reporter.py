"""The usage reporter by itself: whatever becomes of an answer, its call is told of."""

from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from service.store.postgres import Connection
from tests.gateways.chat import HELLO, PROMPT_TOKENS
from tests.gateways.ledger import booked
from tests.gateways.mock import WORDS


@pytest.fixture
def of_the_gateway(key: Any) -> dict[str, str]:
    return {"x-governance-request-id": "gw-1", "x-governance-virtual-key-id": key["id"]}


def chat(reporter: TestServer, session: aiohttp.ClientSession, headers: dict[str, str], **fields: Any) -> Any:
    return session.post(reporter.make_url("/v1/chat/completions"), json=HELLO | fields, headers=headers)


async def test_an_llm_that_does_not_answer_is_told_as_such_and_booked_as_an_error(
    reporter: TestServer,
    llm: TestServer,
    session: aiohttp.ClientSession,
    of_the_gateway: dict[str, str],
    connection: Connection,
) -> None:
    await llm.close()
    async with chat(reporter, session, of_the_gateway) as response:
        assert response.status == 502
    (event,) = await booked(connection)
    assert (event["request_id"], event["status"], event["input_tokens"]) == ("gw-1", "error", 0)


async def test_a_client_that_goes_away_is_booked_at_what_the_answer_said_or_held(
    reporter: TestServer, session: aiohttp.ClientSession, of_the_gateway: dict[str, str], connection: Connection
) -> None:
    async with chat(reporter, session, of_the_gateway, stream=True) as response:
        await response.content.readany()
        response.close()
    (event,) = await booked(connection)
    assert event["status"] == "success"
    assert event["input_tokens"] + event["output_tokens"] in (0, PROMPT_TOKENS + len(WORDS))


async def test_what_no_gateway_asked_for_is_passed_on_and_not_reported(
    reporter: TestServer, session: aiohttp.ClientSession, connection: Connection
) -> None:
    async with chat(reporter, session, {}) as response:
        assert response.status == 200
    assert await booked(connection, number=0) == []
