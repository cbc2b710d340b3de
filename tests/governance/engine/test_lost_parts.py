"""Redis that lost a part of what it was told or asked: each call is charged once, to all that it is held to."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from service.domain.refusals import RefusedError
from service.governance.settlement.settle import Report
from service.store.postgres import Connection, StoreUnavailableError
from tests.conftest import Clock
from tests.factories import Factory
from tests.gateway import VALUE
from tests.governance.engine.conftest import NewWorker
from tests.governance.engine.worker import NANO, Worker, held_in_redis

AWAY = "redis://127.0.0.1:1/0"
GLOBAL_HOLDS = "gov:{global}:holds"
CALL: dict[str, Any] = {"request_id": "call", "model": "gpt-4o", "estimated_cost": 2, "ttl": 60}


@pytest.fixture(autouse=True)
async def key(make: Factory, clock: Clock) -> str:
    """With a budget `b` and at most two requests a day, and a budget `all` of the whole deployment for gpt-4o."""
    key = await make.virtual_key(id="key", value=VALUE, allow_all_providers=True)
    await make.budget(id="b", virtual_key_id=key, anchored_at=clock.now)
    two = {"token_max_limit": None, "token_reset_duration": None, "request_max_limit": 2}
    await make.rate_limit(id="r", virtual_key_id=key, request_reset_duration="1d", anchored_at=clock.now, **two)
    config = await make.model_config(model_name="gpt-4o")
    await make.budget(id="all", model_config_id=config, anchored_at=clock.now)
    return key


async def totals(connection: Connection) -> dict[str, int]:
    rows = await connection.fetch("SELECT meter_id, sum(used)::bigint AS used FROM meter_windows GROUP BY 1")
    return {row["meter_id"]: row["used"] for row in rows}


def booked(dollars: int, requests: int = 1) -> dict[str, int]:
    return {"budget:b": dollars * NANO, "budget:all": dollars * NANO, "requests:r": requests}


async def forget_own_part(redis: Redis) -> None:
    """As when the worker, or Redis, died after the limits of the whole deployment had been asked."""
    (holds,) = await redis.keys("gov:{virtual_key:*}:holds")
    assert isinstance(holds, bytes)
    await redis.delete(holds, holds.removesuffix(b"holds") + b"held")
    await redis.set("gov:hold:call", "global")


async def test_what_holds_in_the_deployment_s_limits_alone_is_charged_to_the_call_s_own_too_and_to_each_once(
    new_worker: NewWorker, connection: Connection, redis: Redis
) -> None:
    await new_worker().authorize(**CALL)
    await forget_own_part(redis)
    assert (await new_worker().report("call", model="gpt-4o", cost=3)).status == "recorded"
    assert await totals(connection) == booked(3)


async def test_what_holds_in_the_deployment_s_limits_alone_ends_although_nobody_noted_it(
    new_worker: NewWorker, clock: Clock, connection: Connection, redis: Redis
) -> None:
    await new_worker().authorize(**CALL)
    await forget_own_part(redis)
    await redis.delete("gov:holding")
    clock.forward(seconds=60)
    await new_worker().expire()
    assert not await redis.hexists(GLOBAL_HOLDS, "call") or await redis.hget(GLOBAL_HOLDS, "call") == b"e"
    assert "budget:all" not in str(await held_in_redis(redis))
    assert await totals(connection) == {}


@pytest.mark.parametrize("is_reported", [True, False])
async def test_what_an_attempt_for_another_provider_left_in_the_deployment_s_limits_is_not_what_is_charged(
    new_worker: NewWorker, make: Factory, clock: Clock, connection: Connection, redis: Redis, *, is_reported: bool
) -> None:
    config = await make.model_config(model_name="*", provider="openai")
    await make.budget(id="of openai", model_config_id=config, anchored_at=clock.now)
    await new_worker().authorize(**CALL, provider="anthropic")
    left = await redis.hget(GLOBAL_HOLDS, "call")
    await redis.flushdb()
    await new_worker().authorize(**CALL, provider="openai")
    await redis.hset(GLOBAL_HOLDS, "call", left)
    clock.forward(seconds=0 if is_reported else 60)
    if is_reported:
        await new_worker().report("call", model="gpt-4o", cost=2)
    else:
        await new_worker().expire()
    assert await totals(connection) == booked(2) | {"budget:of openai": 2 * NANO}
    assert await redis.hget(GLOBAL_HOLDS, "call") == b"e"


@pytest.mark.parametrize("is_reported", [True, False])
async def test_a_call_whose_part_in_the_deployment_s_limits_is_lost_is_charged_to_them_all_the_same(
    new_worker: NewWorker, clock: Clock, connection: Connection, redis: Redis, is_reported: bool
) -> None:
    worker = new_worker()
    await worker.authorize(**CALL)
    await redis.delete(GLOBAL_HOLDS, "gov:{global}:held")
    if is_reported:
        await worker.report("call", model="gpt-4o", cost=3)
        assert await totals(connection) == booked(3)
    else:
        clock.forward(seconds=60)
        await worker.expire()
        assert await totals(connection) == booked(2)


@pytest.mark.parametrize("is_reported", [True, False])
async def test_a_part_that_is_left_of_an_attempt_at_another_provider_is_not_taken_for_that_of_the_call(
    new_worker: NewWorker, make: Factory, clock: Clock, connection: Connection, redis: Redis, is_reported: bool
) -> None:
    """The first attempt drew another provider, and its worker died between the deployment's limits and the key's."""
    for provider, weight in (("anthropic", 1), ("openai", 0)):
        await make.provider_config(virtual_key_id="key", provider=provider, weight=weight)
    for provider in ("anthropic", "openai"):
        config = await make.model_config(model_name="*", provider=provider)
        await make.budget(id=f"all of {provider}", model_config_id=config, anchored_at=clock.now)
    await new_worker().authorize(**CALL)
    await forget_own_part(redis)
    await connection.execute("UPDATE virtual_key_provider_configs SET weight = 1 - weight")
    worker = new_worker()
    assert (await worker.authorize(**CALL))["provider"] == "openai"
    if is_reported:
        await worker.report("call", model="gpt-4o", cost=2)
    else:
        clock.forward(seconds=60)
        await worker.expire()
    assert await totals(connection) == booked(2) | {"budget:all of openai": 2 * NANO}
    assert await held_in_redis(redis) == {}


async def test_a_report_after_expiry_is_charged_to_what_the_call_was_held_to_and_its_tokens_are_the_larger_of_both(
    worker: Worker, clock: Clock, connection: Connection
) -> None:
    await worker.authorize(**CALL, provider="openai", estimated_input_tokens=40, max_output_tokens=10)
    clock.forward(seconds=60)
    await worker.expire()
    await worker.report("call", model="gpt-4o", cost=3, input_tokens=20, output_tokens=35)
    rows = await connection.fetch("SELECT provider, model, input_tokens, output_tokens FROM usage_events ORDER BY id")
    assert [tuple(row) for row in rows] == [("openai", "gpt-4o", 50, 0), ("openai", "gpt-4o", 0, 5)]
    assert await totals(connection) == booked(3)


async def test_another_virtual_key_s_call_is_not_added_to_after_it_expired(
    worker: Worker, clock: Clock, connection: Connection, make: Factory
) -> None:
    await make.virtual_key(id="other", value="sk-bf-other", allow_all_providers=True)
    await worker.authorize(**CALL)
    clock.forward(seconds=60)
    await worker.expire()
    assert (await worker.report("call", virtual_key="sk-bf-other", cost=9)).status == "conflict"
    assert await totals(connection) == booked(2)


async def test_a_report_that_is_known_already_brings_its_total_before_its_hold_ends(
    new_worker: NewWorker, connection: Connection, redis: Redis
) -> None:
    worker = new_worker()
    await worker.authorize(**CALL)
    cut_off = new_worker(redis_url=AWAY)
    assert (await cut_off.report("call", model="gpt-4o", cost=3)).status == "recorded"
    assert (await worker.report("call", model="gpt-4o", cost=3)).status == "duplicate"
    answer = await worker.authorize(model="gpt-4o", estimated_cost=7.000000001)
    assert {each["limit"]["used"] for each in answer["violations"]} == {3}


async def test_what_a_call_holds_that_was_refused_for_want_of_an_answer_is_given_back(
    new_worker: NewWorker, redis: Redis
) -> None:
    worker = new_worker(on_counters_unavailable="deny")
    await worker.authorize(**CALL)
    worker.engine.doubts.add("call", ("virtual_key:key", "global"))
    await worker.expire()
    assert await held_in_redis(redis) == {}


async def test_a_call_that_is_asked_for_again_keeps_what_it_holds(new_worker: NewWorker, redis: Redis) -> None:
    worker = new_worker()
    worker.engine.doubts.add("call", ("virtual_key:key", "global"))
    await worker.authorize(**CALL)
    await worker.expire()
    assert (await held_in_redis(redis)) != {}


async def test_a_refusal_without_redis_is_a_doubt_and_an_admission_is_none(new_worker: NewWorker) -> None:
    for policy, doubts in (("deny", ["call"]), ("allow", [])):
        worker = new_worker(redis_url=AWAY, on_counters_unavailable=policy)
        await worker.authorize(**CALL)
        assert worker.engine.doubts.request_ids == doubts


async def test_requests_that_were_reported_while_redis_is_away_are_counted_once(new_worker: NewWorker) -> None:
    worker = new_worker(redis_url=AWAY)
    for number in range(2):
        assert (await worker.authorize(request_id=f"{number}"))["allowed"]
        assert (await worker.report(f"{number}", cost=0)).status == "recorded"
    assert (await worker.authorize(request_id="2"))["decision"] == "request_limited"


async def test_a_report_that_no_ledger_takes_takes_no_other_with_it(worker: Worker, connection: Connection) -> None:
    await connection.execute("ALTER TABLE usage_events ADD CONSTRAINT curse CHECK (model <> 'cursed')")
    reports = (worker.report(model, model=model, cost=1) for model in ("good", "cursed", "fine"))
    answers = await asyncio.gather(*reports, return_exceptions=True)
    await connection.execute("ALTER TABLE usage_events DROP CONSTRAINT curse")
    assert [type(answer) for answer in answers] == [Report, StoreUnavailableError, Report]
    assert (await totals(connection))["budget:b"] == 2 * NANO


@pytest.mark.parametrize("tokens", [10**9, 10**12])
async def test_a_call_whose_tokens_cost_more_than_a_call_can_is_refused_with_the_reason(
    worker: Worker, connection: Connection, tokens: int
) -> None:
    await connection.execute("INSERT INTO model_prices (provider, model, input_nanousd) VALUES ('x', 'dear', 10^13)")
    with pytest.raises(RefusedError, match="cost more than 1000000 US dollars"):
        await worker.authorize(provider="x", model="dear", estimated_input_tokens=tokens)
    with pytest.raises(RefusedError, match="cost more than 1000000 US dollars"):
        await worker.report("call", provider="x", model="dear", input_tokens=tokens)


async def test_a_limit_of_the_deployment_that_is_newer_than_known_does_not_cost_tenants_their_policies(
    worker: Worker, redis: Redis
) -> None:
    await worker.authorize(model="gpt-4o")
    (meters,) = await redis.keys("gov:{global}:meters:*")
    state = await redis.hget(meters, "budget:all")
    await redis.hset(meters, "budget:all", "9:0:0")
    with pytest.raises(StoreUnavailableError, match="change faster"):
        await worker.authorize(model="gpt-4o")
    await redis.hset(meters, "budget:all", state)
    await worker.authorize(model="gpt-4o")
    loaded = worker.engine.policies.misses
    await worker.authorize(model="gpt-4o")
    assert worker.engine.policies.misses == loaded
