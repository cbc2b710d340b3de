"""What a call costs: as it is reported, by the prices there are, as it was held, or nothing and told so."""

from typing import Any

import pytest

from service.store.postgres import Connection
from tests.api.calls import send
from tests.conftest import TestApi
from tests.factories import Factory
from tests.gateway import API, VALUE, Gateway, standing
from tests.waiting import until

MILLION = 1_000_000
CALL = {"provider": "openai", "model": "gpt-4o"}


@pytest.fixture(autouse=True)
async def key(make: Factory, connection: Connection) -> str:
    """A million tokens of gpt-4o: input 2.5 USD, cached 1.25, output 10."""
    await connection.execute(
        "INSERT INTO model_prices (provider, model, input_nanousd, cached_input_nanousd, output_nanousd) "
        "VALUES ('openai', 'gpt-4o', 2500000000, 1250000000, 10000000000)"
    )
    key = await make.virtual_key(value=VALUE, allow_all_providers=True)
    await make.budget(id="b", virtual_key_id=key, max_limit_nanousd=10**12)
    return key


async def cost(gateway: Gateway, request_id: str, **used: Any) -> tuple[float, bool]:
    answer = await gateway.report(request_id, **used)
    return answer["cost"], answer["priced"]


async def test_tokens_cost_what_they_are_priced_at(gateway: Gateway) -> None:
    assert await cost(gateway, "in", **CALL, input_tokens=MILLION) == (2.5, True)
    assert await cost(gateway, "both", **CALL, input_tokens=1, output_tokens=1) == (0.0000125, True)
    assert await cost(gateway, "cached", **CALL, input_tokens=MILLION, cached_input_tokens=400_000) == (2, True)
    assert await cost(gateway, "by prefix", model="openai/gpt-4o", output_tokens=MILLION) == (10, True)
    assert await cost(gateway, "by name", model="gpt-4o", output_tokens=MILLION) == (10, True)
    assert await cost(gateway, "none", **CALL, input_tokens=0, output_tokens=0) == (0, True)


async def test_more_cached_tokens_than_tokens_are_charged_as_they_are_told(gateway: Gateway) -> None:
    assert await cost(gateway, "odd", **CALL, input_tokens=0, cached_input_tokens=MILLION) == (1.25, True)


async def test_a_cost_that_is_reported_is_taken_as_it_is(gateway: Gateway) -> None:
    assert await cost(gateway, "dear", **CALL, input_tokens=MILLION, cost=7.000000001) == (7.000000001, True)
    assert await cost(gateway, "free", **CALL, input_tokens=MILLION, cost=0) == (0, True)


async def test_without_a_price_the_hold_counts_and_without_a_hold_nothing_does_and_both_are_told(
    gateway: Gateway,
) -> None:
    await gateway.authorize(request_id="held", provider="openai", model="unheard-of", estimated_cost=3)
    assert await cost(gateway, "held", input_tokens=10) == (3, False)
    assert await cost(gateway, "not held", provider="openai", model="unheard-of", input_tokens=10) == (0, False)
    assert await cost(gateway, "no model", input_tokens=10) == (0, False)


async def test_a_success_without_figures_is_booked_as_it_was_held(gateway: Gateway, connection: Connection) -> None:
    await gateway.authorize(request_id="held", **CALL, estimated_input_tokens=600_000, max_output_tokens=MILLION)
    assert await cost(gateway, "held") == (11.5, False)
    assert await connection.fetchval("SELECT input_tokens + output_tokens FROM usage_events") == 1_600_000
    assert await cost(gateway, "not held", **CALL) == (0, False)


@pytest.mark.parametrize("status", ["error", "cancelled"])
async def test_a_failure_costs_what_it_says_and_is_no_request(
    gateway: Gateway, connection: Connection, key: str, status: str
) -> None:
    await make_request_limit(connection, key)
    for request_id in ("nothing", "something"):
        await gateway.authorize(request_id=request_id, **CALL, estimated_cost=5)
    assert await cost(gateway, "nothing", status=status) == (0, True)
    assert await cost(gateway, "something", status=status, input_tokens=MILLION) == (2.5, True)
    answer = await gateway.authorize(**CALL)
    assert (standing(answer, "b")["used"], standing(answer, "r", "requests")["used"]) == (2.5, 0)
    assert standing(answer, "r", "requests")["held"] == 1


async def make_request_limit(connection: Connection, key: str) -> None:
    await connection.execute(
        "INSERT INTO rate_limits (id, virtual_key_id, request_max_limit, request_reset_duration) "
        "VALUES ('r', $1, 9, '1d')",
        key,
    )


async def test_an_estimate_of_tokens_holds_what_they_cost(gateway: Gateway) -> None:
    answer = await gateway.authorize(**CALL, estimated_input_tokens=MILLION, max_output_tokens=MILLION)
    assert (standing(answer, "b")["requested"], standing(answer, "b")["held"]) == (12.5, 12.5)
    answer = await gateway.authorize(provider="openai", model="unheard-of", estimated_input_tokens=MILLION)
    assert ("requested" in standing(answer, "b"), standing(answer, "b")["held"]) == (False, 12.5)


async def test_the_most_special_override_counts(gateway: Gateway, api: TestApi, key: str) -> None:
    assert await cost(gateway, "before", **CALL, input_tokens=MILLION) == (2.5, True)
    scopes: tuple[tuple[float, dict[str, str]], ...] = (
        (5, {"scope_kind": "global"}),
        (4, {"scope_kind": "provider", "provider_id": "openai"}),
        (3, {"scope_kind": "virtual_key", "virtual_key_id": key}),
        (1, {"scope_kind": "virtual_key_provider", "virtual_key_id": key, "provider_id": "openai"}),
    )
    for number, (dollars, scope) in enumerate(scopes):
        body = {
            "name": f"override {number}",
            "match_type": "wildcard",
            "pattern": "gpt-*",
            "patch": {"input_cost_per_token": dollars / MILLION},
            **scope,
        }
        status, answer = await send(api, "POST", f"{API}/pricing-overrides", body)
        assert status in (200, 201), answer
        await until(lambda dollars=dollars: holds(gateway, dollars))  # type: ignore[misc]
        assert await cost(gateway, f"after {number}", **CALL, input_tokens=MILLION) == (dollars, True)
    # What an override does not name stays.
    assert await cost(gateway, "output", **CALL, output_tokens=MILLION) == (10, True)


async def holds(gateway: Gateway, dollars: float) -> bool:
    """Whether that is what a million tokens are estimated at."""
    answer = await gateway.authorize(**CALL, estimated_input_tokens=MILLION, mcp_tools=["no-such"])
    return bool(standing(answer, "b")["requested"] == dollars)
