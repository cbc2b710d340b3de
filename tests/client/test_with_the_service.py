"""The client and the service: what the one says, the other books."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.client import Estimate, Governance, RefusedCallError
from service.store.postgres import Connection
from tests.api.forward_auth import make_key
from tests.conftest import TestApi


@pytest.fixture
async def governance(api: TestApi) -> AsyncIterator[Governance]:
    async with Governance(str(api.make_url("/"))) as governance:
        yield governance


async def sums(connection: Connection) -> Any:
    return await connection.fetchrow(
        "SELECT count(*) AS calls, sum(input_tokens + output_tokens) AS tokens FROM usage_events"
    )


async def test_calls_are_booked_until_there_is_no_room_and_what_failed_gives_its_room_back(
    governance: Governance, api: TestApi, connection: Connection
) -> None:
    key = await make_key(api, rate_limit={"token_max_limit": 100, "token_reset_duration": "1d"})
    estimate = Estimate(input_tokens=40, max_output_tokens=20)
    with pytest.raises(ValueError, match="upstream"):
        async with governance.call(key["value"], model="gpt-4o", estimate=estimate):
            raise ValueError("upstream")
    async with governance.call(key["value"], model="gpt-4o", estimate=estimate) as call:
        assert call.provider == "openai"
        call.usage(input_tokens=38, output_tokens=12)
    with pytest.raises(RefusedCallError) as refused:
        async with governance.call(key["value"], model="gpt-4o", estimate=estimate):
            pytest.fail("50 + 60 > 100")
    assert refused.value.decision.decision == "token_limited"
    assert tuple(await sums(connection)) == (1, 50)
