"""Calls while Redis is away: refused, allowed, or held to what is known here, as the setting says."""

from typing import Any

import pytest
from redis.asyncio import Redis

from service.store.postgres import Connection
from tests.conftest import Clock
from tests.factories import Factory
from tests.gateway import VALUE, standing
from tests.governance.engine.conftest import NewWorker
from tests.governance.engine.worker import Worker
from tests.governance.outage import database_away
from tests.servers import Servers

NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
async def key(make: Factory, clock: Clock) -> str:
    """With a budget `b` of 10 USD, tokens 1000 and requests 4 a day in `r`, and 3 parallel calls."""
    key = await make.virtual_key(id="key", value=VALUE, allow_all_providers=True, max_parallel_requests=3)
    await make.budget(id="b", virtual_key_id=key, anchored_at=clock.now)
    limits = {"token_reset_duration": "1d", "request_max_limit": 4, "request_reset_duration": "1d"}
    await make.rate_limit(id="r", virtual_key_id=key, anchored_at=clock.now, **limits)
    return key


@pytest.fixture
def worker(new_worker: NewWorker) -> Worker:
    """Cut off from Redis, alone with the limits."""
    return new_worker(redis_url=NOBODY)


def decision(answer: Any) -> str:
    return str(answer["decision"])


async def test_with_deny_every_call_is_refused(new_worker: NewWorker) -> None:
    worker = new_worker(redis_url=NOBODY, on_counters_unavailable="deny")
    answer = await worker.authorize()
    assert (answer["allowed"], decision(answer), answer["status_code"]) == (False, "counters_unavailable", 503)
    assert (answer["degraded"], answer["virtual_key_id"]) == ("deny", "key")
    assert (worker.measures.decisions, worker.measures.degraded_decisions) == ({"counters_unavailable": 1}, {"deny": 1})


async def test_with_allow_every_call_that_passes_the_gates_is_allowed(new_worker: NewWorker) -> None:
    worker = new_worker(redis_url=NOBODY, on_counters_unavailable="allow")
    answer = await worker.authorize(estimated_cost=100)
    assert (answer["allowed"], answer["degraded"]) == (True, "allow")
    assert decision(await worker.authorize(virtual_key="sk-bf-nobody")) == "access_not_found"
    assert decision(await worker.authorize(mcp_tools=["shell-run"])) == "mcp_tool_blocked"


async def test_usage_of_the_ledger_and_the_workers_own_calls_count(
    worker: Worker, new_worker: NewWorker, connection: Connection
) -> None:
    await new_worker().report("before", cost=4, input_tokens=10)
    answer = await worker.authorize(request_id="a", estimated_cost=5)
    assert (answer["allowed"], answer["degraded"]) == (True, "local")
    assert (standing(answer, "b")["used"], standing(answer, "b")["held"]) == (4, 5)
    refused = await worker.authorize(estimated_cost=1.5)
    assert (decision(refused), standing(refused, "b")["held"]) == ("budget_exceeded", 5)
    assert (await worker.report("a", cost=2)).status == "recorded"
    answer = await worker.authorize(estimated_cost=4)
    assert (answer["allowed"], standing(answer, "b")["used"]) == (True, 6)


async def test_requests_count_once_when_they_are_over(worker: Worker) -> None:
    for number in range(4):
        assert (await worker.authorize(request_id=f"{number}"))["allowed"], number
        await worker.report(f"{number}", cost=0)
    answer = await worker.authorize()
    shown = standing(answer, "r", "requests")
    assert (decision(answer), shown["used"], shown["held"]) == ("request_limited", 4, 0)


async def test_a_call_that_ends_gives_back_what_it_held(worker: Worker, clock: Clock) -> None:
    for number in range(3):
        assert (await worker.authorize(request_id=f"{number}", estimated_cost=3, ttl=60))["allowed"]
    assert decision(await worker.authorize()) == "parallel_limited"
    # Whether it held in Redis as well cannot be told.
    with pytest.raises(Exception, match="counters do not answer"):
        await worker.release("0")
    answer = await worker.authorize(request_id="3", estimated_cost=3, ttl=60)
    assert (answer["allowed"], standing(answer, "b")["held"]) == (True, 9)
    clock.forward(seconds=60)
    answer = await worker.authorize(estimated_cost=9)
    assert (answer["allowed"], standing(answer, "r", "requests")["held"]) == (True, 1)


async def test_windows_that_redis_alone_keeps_count_what_is_asked_here(
    worker: Worker, make: Factory, clock: Clock
) -> None:
    key = await make.virtual_key(value="sk-bf-2", allow_all_providers=True)
    limits = {"token_reset_duration": "1m", "request_max_limit": 3, "request_reset_duration": "1m"}
    await make.rate_limit(id="m", virtual_key_id=key, anchored_at=clock.now, **limits)
    for _ in range(2):
        for number in range(3):
            answer = await worker.authorize(virtual_key="sk-bf-2", request_id=f"{clock.now} {number}")
            assert answer["allowed"]
            await worker.report(f"{clock.now} {number}", virtual_key="sk-bf-2", cost=0)
        assert decision(await worker.authorize(virtual_key="sk-bf-2")) == "request_limited"
        clock.forward(minutes=1)


async def test_workers_share_the_room_there_is(new_worker: NewWorker, connection: Connection) -> None:
    await connection.execute("UPDATE virtual_keys SET max_parallel_requests = 9")
    workers = [new_worker(redis_url=NOBODY, replicas=2, workers=2) for _ in range(4)]
    admitted = [0, 0, 0, 0]
    for number, worker in enumerate(workers):
        while (await worker.authorize(estimated_cost=0.5))["allowed"]:
            admitted[number] += 1
            assert admitted[number] < 20
    # A request each: of four there is one for each of them.
    assert admitted == [1, 1, 1, 1]


async def test_the_same_call_again_holds_once(worker: Worker) -> None:
    for _ in range(5):
        answer = await worker.authorize(request_id="a", estimated_cost=6)
        assert answer["allowed"]
    assert decision(await worker.authorize(request_id="b", estimated_cost=5)) == "budget_exceeded"


async def test_without_postgres_too_what_was_known_counts_and_what_was_not_is_refused(
    worker: Worker, make: Factory, servers: Servers, database_url: str
) -> None:
    await make.budget(virtual_key_id=await make.virtual_key(value="sk-bf-2", allow_all_providers=True))
    assert (await worker.authorize(estimated_cost=6))["allowed"]
    assert decision(await worker.authorize(virtual_key="sk-bf-2", mcp_tools=["a-b"])) == "mcp_tool_blocked"
    async with database_away(servers.postgres_url, database_url):
        assert decision(await worker.authorize(estimated_cost=5)) == "budget_exceeded"
        assert (await worker.authorize(estimated_cost=4))["allowed"]


async def test_a_limit_in_shadow_refuses_nothing(worker: Worker, connection: Connection) -> None:
    await connection.execute("UPDATE budgets SET shadow = true")
    answer = await worker.authorize(estimated_cost=100)
    assert (answer["allowed"], standing(answer, "b")["would_refuse"]) == (True, True)


async def test_an_exhausted_provider_is_passed_over(worker: Worker, make: Factory) -> None:
    key = await make.virtual_key(value="sk-bf-2")
    for provider, weight in (("azure", 1), ("openai", 0)):
        config = await make.provider_config(virtual_key_id=key, provider=provider, weight=weight)
        await make.budget(provider_config_id=config, max_limit_nanousd=10**9 if weight else 10**10)
    answer = await worker.authorize(virtual_key="sk-bf-2", model="m", estimated_cost=2)
    assert (answer["allowed"], answer["provider"]) == (True, "openai")


async def test_a_worker_whose_redis_is_back_holds_there(new_worker: NewWorker, worker: Worker, redis: Redis) -> None:
    await worker.authorize(request_id="a", estimated_cost=6)
    back = new_worker()
    # Redis knows nothing of the call; what it used is in the ledger.
    assert standing(await back.authorize(estimated_cost=1e6), "b")["held"] == 0
    await worker.report("a", cost=6)
    await redis.flushall()
    assert standing(await back.authorize(estimated_cost=1e6), "b")["used"] == 6


async def test_what_is_kept_of_short_windows_goes_with_them(worker: Worker, make: Factory, clock: Clock) -> None:
    key = await make.virtual_key(value="sk-bf-2", allow_all_providers=True)
    await make.rate_limit(virtual_key_id=key, request_reset_duration="1m", token_reset_duration="1m")
    for _ in range(5):
        await worker.authorize(virtual_key="sk-bf-2", estimated_input_tokens=1, ttl=1)
        clock.forward(minutes=1)
    # Of the one window that may last still, and of no call.
    await worker.authorize(estimated_cost=1e6)
    assert worker.engine.local.kept == 0
