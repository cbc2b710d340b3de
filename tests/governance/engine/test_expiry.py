"""Holds nobody settled: booked once when they expire, or given back; and what a report says after that."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from service.store.postgres import Connection
from tests.conftest import Clock
from tests.factories import Factory
from tests.gateway import VALUE, standing
from tests.governance.engine.conftest import NewWorker
from tests.governance.engine.worker import NANO, Worker, held_in_redis
from tests.governance.outage import database_away
from tests.servers import Servers

CALL: dict[str, Any] = {
    "request_id": "call",
    "provider": "openai",
    "model": "gpt-4o",
    "estimated_cost": 2,
    "estimated_input_tokens": 30,
    "max_output_tokens": 20,
    "ttl": 60,
}


@pytest.fixture(autouse=True)
async def key(make: Factory, clock: Clock) -> str:
    """With a budget `b`, tokens and requests `r` of a day, and a budget `all` of the whole deployment for gpt-4o."""
    key = await make.virtual_key(id="key", value=VALUE, allow_all_providers=True, max_parallel_requests=9)
    await make.budget(id="b", virtual_key_id=key, anchored_at=clock.now)
    limits = {"token_reset_duration": "1d", "request_max_limit": 9, "request_reset_duration": "1d"}
    await make.rate_limit(id="r", virtual_key_id=key, anchored_at=clock.now, **limits)
    config = await make.model_config(model_name="gpt-4o")
    await make.budget(id="all", model_config_id=config, anchored_at=clock.now)
    return key


async def events(connection: Connection) -> list[tuple[Any, ...]]:
    rows = await connection.fetch(
        "SELECT request_id, status, input_tokens, output_tokens, cost_nanousd FROM usage_events ORDER BY id"
    )
    return [tuple(row) for row in rows]


async def totals(connection: Connection) -> dict[str, int]:
    rows = await connection.fetch("SELECT meter_id, sum(used)::bigint AS used FROM meter_windows GROUP BY 1")
    return {row["meter_id"]: row["used"] for row in rows}


def booked(dollars: int, tokens: int, requests: int = 1) -> dict[str, int]:
    return {"budget:b": dollars * NANO, "budget:all": dollars * NANO, "tokens:r": tokens, "requests:r": requests}


async def test_an_expired_hold_is_booked_once_at_what_it_held(
    new_worker: NewWorker, clock: Clock, connection: Connection, redis: Redis
) -> None:
    admitting, others = new_worker(), [new_worker() for _ in range(3)]
    await admitting.authorize(**CALL)
    clock.forward(seconds=59)
    await others[0].expire()
    assert await events(connection) == []
    clock.forward(seconds=1)
    await asyncio.gather(*(worker.expire() for worker in (admitting, *others)))
    assert await events(connection) == [("call", "expired", 50, 0, 2 * NANO)]
    assert await totals(connection) == booked(2, 50)
    assert await held_in_redis(redis) == {}
    for worker in others:
        await worker.expire()
        answer = await worker.authorize(estimated_cost=1e6)
        assert (standing(answer, "b")["used"], standing(answer, "key", "parallel")["held"]) == (2, 0)
    assert len(await events(connection)) == 1


async def test_with_the_setting_release_an_expired_hold_is_given_back(
    new_worker: NewWorker, clock: Clock, connection: Connection, redis: Redis
) -> None:
    worker = new_worker(expired_holds="release")
    await worker.authorize(**CALL)
    clock.forward(seconds=60)
    await worker.expire()
    assert (await events(connection), await held_in_redis(redis), worker.measures.holds_expired) == ([], {}, 1)
    assert (await worker.report("call", cost=3, input_tokens=40)).status == "recorded"
    assert (await totals(connection))["budget:b"] == 3 * NANO


async def test_a_hold_of_a_worker_that_died_is_found_by_the_others(
    new_worker: NewWorker, clock: Clock, connection: Connection
) -> None:
    await new_worker().authorize(**CALL)
    clock.forward(seconds=60)
    await new_worker().expire()
    assert await totals(connection) == booked(2, 50)


async def test_a_worker_finds_its_tenants_again_when_redis_forgot_who_holds(
    worker: Worker, clock: Clock, connection: Connection, redis: Redis
) -> None:
    await worker.authorize(**CALL)
    await redis.delete("gov:holding")
    clock.forward(seconds=60)
    await worker.expire()
    assert (await totals(connection))["budget:b"] == 2 * NANO


async def test_what_redis_forgot_of_who_holds_is_told_again_at_the_next_look_and_no_other(
    worker: Worker, clock: Clock, redis: Redis
) -> None:
    await worker.authorize(**CALL)
    listed = await redis.zrange("gov:holding", 0, -1)
    noted = await redis.zrange("gov:holding", 0, -1, withscores=True)
    clock.forward(seconds=1)
    await worker.expire()
    assert noted
    assert await redis.zrange("gov:holding", 0, -1, withscores=True) == noted
    await redis.delete("gov:holding")
    await worker.expire()
    assert await redis.zrange("gov:holding", 0, -1) == listed


async def test_a_tenant_is_noted_by_one_call_in_half_a_minute(worker: Worker, clock: Clock, redis: Redis) -> None:
    await worker.authorize(**CALL)
    for seconds, is_noted in ((29, False), (1, True)):
        clock.forward(seconds=seconds)
        await redis.delete("gov:holding")
        await worker.authorize(**CALL | {"request_id": f"after {seconds}"})
        assert await redis.exists("gov:holding") == is_noted


async def test_a_report_that_comes_too_late_is_charged_once_and_at_what_it_says_when_that_is_more(
    worker: Worker, clock: Clock, connection: Connection
) -> None:
    await worker.authorize(**CALL)
    clock.forward(seconds=60)
    await worker.expire()
    used = {"provider": "openai", "model": "gpt-4o", "input_tokens": 100, "output_tokens": 7, "cost": 5}
    for status in ("recorded", "duplicate", "duplicate"):
        report = await worker.report("call", **used)
        assert (report.status, report.late) == (status, True)
    assert (await worker.report("call", **used | {"cost": 6})).status == "conflict"
    assert await totals(connection) == booked(5, 107)
    assert await events(connection) == [("call", "expired", 50, 0, 2 * NANO), ("call:late", "late", 50, 7, 3 * NANO)]
    daily = await connection.fetchrow("SELECT requests, cost_nanousd FROM usage_daily")
    assert daily is not None
    assert tuple(daily) == (1, 5 * NANO)


async def test_a_worker_forgets_calls_that_others_ended(
    new_worker: NewWorker, worker: Worker, clock: Clock, redis: Redis
) -> None:
    await worker.authorize(**CALL | {"ttl": 300})
    await new_worker().report("call", cost=1)
    # So long after it was noted the tenant need not be listed; but the hold would last still.
    clock.forward(seconds=150)
    await redis.delete("gov:holding")
    await worker.expire()
    assert await redis.exists("gov:holding") == 0
    for looks in (1, 0):
        clock.forward(seconds=300)
        await redis.delete("gov:holding")
        await worker.expire()
        assert await redis.exists("gov:holding") == looks


async def test_a_report_that_comes_too_late_and_says_less_changes_nothing(
    worker: Worker, clock: Clock, connection: Connection
) -> None:
    await worker.authorize(**CALL)
    clock.forward(seconds=60)
    await worker.expire()
    assert (await worker.report("call", cost=0.5, input_tokens=1)).status == "recorded"
    assert await totals(connection) == booked(2, 50)


async def test_a_report_that_comes_too_late_for_a_call_without_estimates_is_charged_in_full(
    worker: Worker, clock: Clock, connection: Connection
) -> None:
    await worker.authorize(request_id="call", provider="openai", model="gpt-4o", ttl=60)
    began = clock.now
    clock.forward(days=1)
    await worker.expire()
    await worker.report("call", cost=5, input_tokens=100)
    assert await totals(connection) == booked(5, 100)
    starts = {row["window_start"] for row in await connection.fetch("SELECT window_start FROM meter_windows")}
    assert starts == {began}


async def test_a_call_that_was_reported_while_redis_was_away_is_not_booked_again(
    new_worker: NewWorker, clock: Clock, connection: Connection, redis: Redis
) -> None:
    worker = new_worker()
    await worker.authorize(**CALL)
    cut_off = new_worker(redis_url="redis://127.0.0.1:1/0")
    used = {"provider": "openai", "model": "gpt-4o", "cost": 1, "input_tokens": 5}
    assert (await cut_off.report("call", **used)).status == "recorded"
    assert (await held_in_redis(redis))["parallel:virtual_key:key"] == 1
    clock.forward(seconds=60)
    await worker.expire()
    assert (await totals(connection), await held_in_redis(redis)) == (booked(1, 5), {})


async def test_room_that_expired_holds_take_is_found_when_it_is_needed(new_worker: NewWorker, clock: Clock) -> None:
    worker = new_worker(expired_holds="release")
    await worker.authorize(**CALL | {"estimated_cost": 10})
    assert not (await worker.authorize(estimated_cost=1))["allowed"]
    clock.forward(seconds=60)
    assert (await worker.authorize(estimated_cost=10))["allowed"]


async def test_an_expired_hold_takes_its_room_still_while_postgres_is_away(
    worker: Worker, clock: Clock, servers: Servers, database_url: str
) -> None:
    await worker.authorize(**CALL | {"estimated_cost": 9})
    clock.forward(seconds=60)
    async with database_away(servers.postgres_url, database_url):
        assert (await worker.authorize(estimated_cost=1))["allowed"]
        assert (await worker.authorize(estimated_cost=1))["decision"] == "budget_exceeded"
    answer = await worker.authorize(estimated_cost=1)
    assert (answer["decision"], standing(answer, "b")["used"]) == ("budget_exceeded", 9)


async def test_an_expired_call_counts_in_windows_that_are_kept_in_redis_only(
    worker: Worker, make: Factory, clock: Clock
) -> None:
    team = await make.team(id="team")
    limits = {"token_reset_duration": "50m", "request_max_limit": 1, "request_reset_duration": "50m"}
    await make.rate_limit(id="short", team_id=team, anchored_at=clock.now, **limits)
    await make.virtual_key(value="sk-bf-2", team_id=team, allow_all_providers=True)
    await worker.authorize(**CALL | {"virtual_key": "sk-bf-2"})
    clock.forward(seconds=60)
    await worker.expire()
    answer = await worker.authorize(virtual_key="sk-bf-2")
    assert (answer["decision"], standing(answer, "short", "tokens")["used"]) == ("request_limited", 50)


async def test_a_hold_that_cannot_be_read_is_dropped_and_stops_no_other(
    worker: Worker, make: Factory, clock: Clock, connection: Connection, redis: Redis
) -> None:
    await make.virtual_key(value="sk-bf-2", id="key 2", allow_all_providers=True)
    await worker.authorize(**CALL)
    await worker.authorize(**CALL | {"virtual_key": "sk-bf-2", "request_id": "other tenant"})
    for number, damage in enumerate((b"\xc1", b"x", b"\x93\x01\x02\x03", b"")):
        await redis.hset("gov:{virtual_key:key}:holds", f"damaged-{number}", damage)
        await redis.zadd("gov:{virtual_key:key}:expiries", {f"damaged-{number}": 1})
    clock.forward(seconds=60)
    await worker.expire()
    assert {request_id for request_id, *_ in await events(connection)} == {"call", "other tenant"}
    assert await redis.hkeys("gov:{virtual_key:key}:holds") == [b"call"]
