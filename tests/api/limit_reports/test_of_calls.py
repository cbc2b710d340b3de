"""Limits as calls move them: what a call is told is what is read, and all of it is accounted for."""

from decimal import Decimal
from typing import Any

import pytest

from tests.api.limit_reports.asking import read
from tests.conftest import TestApi
from tests.factories import Factory
from tests.gateway import VALUE, Gateway

CALL = {"provider": "openai", "model": "gpt-4o"}
ESTIMATES = {"estimated_input_tokens": 100, "max_output_tokens": 50, "estimated_cost": 0.5}
USED = CALL | {"input_tokens": 80, "output_tokens": 20, "cost": 0.25}
PATH = "virtual-keys/bot"


@pytest.fixture
async def gateway(api: TestApi, make: Factory) -> Gateway:
    """Calls of the virtual key bot, with limits at every level."""
    await make.customer(id="acme", name="Acme", max_parallel_requests=9)
    await make.team(id="research", name="Research", customer_id="acme", max_parallel_requests=5)
    await make.virtual_key(id="bot", name="Bot", team_id="research", value=VALUE, max_parallel_requests=3)
    config = await make.provider_config(virtual_key_id="bot", provider="openai")
    of_key = await make.model_config(virtual_key_id="bot", model_name="gpt-4o")
    of_all = await make.model_config(model_name="*", provider="openai")
    owners: list[dict[str, Any]] = [{"customer_id": "acme"}, {"team_id": "research"}, {"virtual_key_id": "bot"}]
    owners += [{"provider_config_id": config}, {"model_config_id": of_key}, {"model_config_id": of_all}]
    for owner in owners:
        await make.budget(**owner)
        await make.rate_limit(**owner)
    return Gateway(api)


def standings(limits: list[Any]) -> dict[Any, tuple[Any, ...]]:
    """Where each limit stands, by level, id and kind."""
    return {
        (limit["level"], limit["id"], limit["kind"]): (limit["max"], limit["used"], limit["held"]) for limit in limits
    }


async def test_a_call_is_told_the_limits_that_are_read(api: TestApi, gateway: Gateway) -> None:
    await gateway.report("earlier", **USED)
    answer = await gateway.authorize(**CALL, **ESTIMATES, request_id="now")
    told = standings([each["limit"] | {"level": each["level"]} for each in answer["limits"]])
    assert told == standings(await read(api, PATH))
    assert len(told) == 6 * 3 + 3


async def test_what_a_call_holds_is_read_until_it_is_reported(api: TestApi, gateway: Gateway) -> None:
    await gateway.authorize(**CALL, **ESTIMATES, request_id="call")
    held = {"budget": Decimal("0.5"), "tokens": 150, "requests": 1, "parallel": 1}
    assert {(limit["kind"], limit["held"]) for limit in await read(api, PATH)} == set(held.items())
    await gateway.report("call", **USED)
    used = {"budget": Decimal("0.25"), "tokens": 100, "requests": 1, "parallel": 0}
    limits = await read(api, PATH)
    assert {(limit["kind"], limit["used"], limit["held"]) for limit in limits} == {
        (kind, amount, 0) for kind, amount in used.items()
    }
    for limit in limits:
        explained = limit.get("explain", {"accounted": True})
        assert explained["accounted"], limit
        if limit["kind"] in ("budget", "tokens"):
            assert (explained["ledger"], explained["events"], explained["live"]) == (limit["used"], 1, limit["used"])


async def test_what_a_call_was_charged_to_is_read_in_the_ledger(api: TestApi, gateway: Gateway) -> None:
    await gateway.report("call", **USED)
    (event,) = (await (await api.get("/api/governance/usage/events")).json())["events"]
    counted = {limit["meter"] for limit in await read(api, PATH) if limit["kind"] in ("budget", "tokens")}
    assert {charge["meter"] for charge in event["charges"]} == counted
    (row,) = (await (await api.get("/api/governance/usage?group_by=customer,team,virtual_key")).json())["usage"]
    assert (row["customer_id"], row["team_id"], row["virtual_key_id"]) == ("acme", "research", "bot")
    assert (row["requests"], row["total_tokens"], row["cost"]) == (1, 100, 0.25)
