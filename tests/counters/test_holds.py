"""The scripts that admit, settle and list calls: all or nothing, exact, and safe to repeat."""

import asyncio
import uuid

import pytest
from hypothesis import HealthCheck, example, given, settings as hypothesis_settings, strategies as st
from redis.asyncio import Redis

from service.counters.batching import ScriptBatcher
from service.counters.client import CounterClient
from service.counters.holds import (
    FORGET_AFTER_US,
    LiveUse,
    Settled,
    find_tenants,
    list_expired_holds,
    list_holding,
    note_holding,
    read_holds,
    settle,
)
from tests.counters.holding import (
    EXPIRIES,
    HELD,
    HOLDS,
    METERS,
    NOW_US,
    WINDOW_US,
    Asks,
    ask,
    end,
    everything,
    state,
    warm,
)
from tests.counters.windows import tenant

BUDGET, TOKENS = Asks(), Asks(meter_id="tokens:r", kind="r", limit=10, amount=4)
PARALLEL = Asks(meter_id="parallel:customer:acme", kind="p", limit=2)


@pytest.fixture
def batcher(counters: CounterClient) -> ScriptBatcher:
    return counters.batcher


async def held(redis: Redis) -> dict[str, int]:
    fields = await redis.hgetall(HELD)
    return {field.decode(): int(amount) for field, amount in fields.items()}  # type: ignore[union-attr]


async def test_a_call_holds_on_every_meter_and_is_told_where_each_stood(batcher: ScriptBatcher, redis: Redis) -> None:
    await warm(batcher, state(used=7))
    asks = (Asks(amount=3), TOKENS, PARALLEL)
    assert await ask_plain(batcher, "a", *asks) == ("ok", "7 0 0 0 0 0")
    assert await ask_plain(batcher, "b", *asks) == ("ok", "7 3 0 4 0 1")
    assert await held(redis) == {BUDGET.field: 6, TOKENS.field: 8, PARALLEL.field: 2}
    assert await redis.zscore(EXPIRIES, "a") == NOW_US + 60_000_000
    assert await find_tenants(batcher, ["a", "b", "c"]) == {"a": tenant().id, "b": tenant().id}


async def ask_plain(batcher: ScriptBatcher, request_id: str, *asks: Asks, **fields: object) -> tuple[str, object]:
    answer = await ask(batcher, request_id, *asks, **fields)  # type: ignore[arg-type]
    return answer.outcome, answer.rest


async def test_redis_finds_meters_and_what_is_held_in_tables_not_by_looking_through_lists(
    batcher: ScriptBatcher, redis: Redis
) -> None:
    budget = f"budget:{uuid.uuid4()}"
    await warm(batcher, state(budget))
    await ask(batcher, "a", Asks(meter_id=budget))
    assert [await redis.object("encoding", key) for key in (METERS, HELD)] == [b"hashtable"] * 2


@pytest.mark.parametrize("full", range(3))
async def test_one_meter_without_room_refuses_all_and_nothing_moves(
    batcher: ScriptBatcher, redis: Redis, full: int
) -> None:
    await warm(batcher, state(used=7))
    asks = [Asks(amount=3), TOKENS, PARALLEL]
    await ask(batcher, "first", *asks)
    before = await everything(redis)
    asks[full] = [
        Asks(amount=91),
        Asks(meter_id="tokens:r", kind="r", limit=7, amount=4),
        Asks(meter_id=PARALLEL.meter_id, kind="p", limit=1),
    ][full]
    assert await ask_plain(batcher, "second", *asks) == ("refused", "7 3 0 4 0 1")
    assert await everything(redis) == before


async def test_what_is_only_read_is_told_of_and_neither_refuses_nor_holds(batcher: ScriptBatcher, redis: Redis) -> None:
    other = Asks(meter_id="budget:other", limit=1, amount=5)
    await warm(batcher, state(), state("budget:other", used=9))
    assert (await ask(batcher, "a", BUDGET, others=(other,))).rest == "0 0 9 0"
    assert await held(redis) == {BUDGET.field: 1}
    assert (await ask(batcher, "b", BUDGET, reserve=False)).outcome == "ok"
    assert (await held(redis), await redis.hexists(HOLDS, "b")) == ({BUDGET.field: 1}, False)


async def test_a_capital_counts_and_does_not_refuse(batcher: ScriptBatcher, redis: Redis) -> None:
    await warm(batcher)
    shadowed = (Asks(kind="L", limit=1, amount=9), Asks(meter_id="parallel:x", kind="P", limit=1))
    for request_id in ("a", "b"):
        assert (await ask(batcher, request_id, *shadowed)).outcome == "ok"
    assert await held(redis) == {BUDGET.field: 18, "parallel:x": 2}


async def test_a_meter_of_the_ledger_that_is_not_there_is_cold_and_one_of_redis_alone_begins(
    batcher: ScriptBatcher, redis: Redis
) -> None:
    asks = (BUDGET, Asks(meter_id="budget:c", kind="L"), TOKENS)
    assert await ask_plain(batcher, "a", *asks) == ("cold", ["budget:b", "budget:c"])
    assert await everything(redis) == {}
    await warm(batcher, state(epoch=1), state("budget:c", epoch=2))
    # Of an older epoch than the caller's it is cold; of a newer one the caller is behind.
    newer = Asks(epoch=2)
    assert await ask_plain(batcher, "a", newer) == ("cold", ["budget:b"])
    assert await ask_plain(batcher, "a", Asks(meter_id="budget:c")) == ("stale", None)
    assert await held(redis) == {}


async def test_a_window_that_has_ended_reads_as_zero_and_one_that_has_begun_is_told_of(
    batcher: ScriptBatcher, redis: Redis
) -> None:
    await warm(batcher, state(used=100))
    later = Asks(window_us=WINDOW_US + 1)
    assert await ask_plain(batcher, "a", later) == ("ok", "0 0")
    await warm(batcher, state(window_us=WINDOW_US + 1, used=5))
    assert await ask_plain(batcher, "b", BUDGET) == ("ahead", WINDOW_US + 1)
    assert await ask_plain(batcher, "b", later) == ("ok", "5 1")
    assert await held(redis) == {later.field: 2}


async def test_the_same_again_is_answered_as_before_whatever_changed(batcher: ScriptBatcher, redis: Redis) -> None:
    await warm(batcher, state(used=7))
    await ask(batcher, "a", BUDGET, PARALLEL, details="of the call")
    before = await everything(redis)
    for asks in ((BUDGET, PARALLEL), (Asks(limit=0),), ()):
        answer = await ask_plain(batcher, "a", *asks, details="of another", expires_us=NOW_US)
        assert answer == ("repeated", [NOW_US + 60_000_000, "of the call", "7 0 0 0"])
    assert await ask_plain(batcher, "a", BUDGET, fingerprint="g") == ("conflict", None)
    assert await everything(redis) == before


async def test_as_many_meters_as_calls_held_are_given_back_at_once(batcher: ScriptBatcher, redis: Redis) -> None:
    """More than Lua hands to one command."""
    for number in range(500):
        asks = [Asks(meter_id=f"{kind}:{number}", kind="r", amount=2) for kind in range(17)]
        await ask(batcher, f"{number}", *asks, Asks(meter_id="shared", kind="r", limit=1000))
    await ask(batcher, "other", *asks, Asks(meter_id="shared", kind="r", limit=1000))
    assert await end(batcher, *(f"{number}" for number in range(500))) == 500
    assert sorted((await held(redis)).values()) == [1, *[2] * 17]


async def test_an_id_that_ended_is_refused_until_it_is_forgotten(batcher: ScriptBatcher, redis: Redis) -> None:
    await ask(batcher, "a", PARALLEL)
    assert (await end(batcher, "a"), await held(redis)) == (1, {})
    assert await ask_plain(batcher, "a", PARALLEL) == ("ended", None)
    assert await end(batcher, "a") == 0
    for later_us, outcome in ((FORGET_AFTER_US - 1, "ended"), (FORGET_AFTER_US, "ok")):
        await list_expired_holds(batcher, tenant().id, now_us=NOW_US + later_us, most=10)
        assert (await ask(batcher, "a", PARALLEL)).outcome == outcome


async def test_an_id_that_is_not_to_be_remembered_may_be_used_at_once(batcher: ScriptBatcher, redis: Redis) -> None:
    await ask(batcher, "a", PARALLEL)
    await end(batcher, "a", remember=False)
    assert await everything(redis) == {}
    assert (await ask(batcher, "a", PARALLEL)).outcome == "ok"


async def test_holds_that_take_room_though_they_expired_are_told_of(batcher: ScriptBatcher, redis: Redis) -> None:
    await ask(batcher, "a", Asks(meter_id="p", kind="p", limit=1), expires_us=NOW_US + 1)
    before = await everything(redis)
    for later_us, outcome in ((0, "refused"), (1, "overdue")):
        answer = await ask_plain(batcher, "b", Asks(meter_id="p", kind="p", limit=1), now_us=NOW_US + later_us)
        assert answer == (outcome, "0 1")
    assert await everything(redis) == before


async def test_calls_at_one_time_get_the_room_there_is_and_no_more(batcher: ScriptBatcher, redis: Redis) -> None:
    await warm(batcher, state(used=1))
    asks = Asks(limit=100, amount=7)
    answers = await asyncio.gather(*(ask(batcher, f"{number}", asks, PARALLEL_ENOUGH) for number in range(50)))
    assert [answer.outcome for answer in answers].count("ok") == 14
    assert await held(redis) == {asks.field: 98, PARALLEL_ENOUGH.field: 14}
    await end(batcher, *(f"{number}" for number in range(50)))
    assert await held(redis) == {}


PARALLEL_ENOUGH = Asks(meter_id="parallel:enough", kind="p", limit=50)


async def test_what_a_hold_says_is_read_back(batcher: ScriptBatcher) -> None:
    await warm(batcher)
    asks = (Asks(amount=None), TOKENS, Asks(meter_id="p", kind="P", limit=1))
    await ask(batcher, "a", *asks, others=(Asks(meter_id="r", kind="r"),), details="{}")
    (hold,) = await read_holds(batcher, tenant().id, ["a", "none"])
    assert (hold.request_id, hold.expires_us, hold.details) == ("a", NOW_US + 60_000_000, "{}")
    assert [(each.meter_id, each.epoch, each.window_start_us, each.kind, each.amount) for each in hold.meters] == [
        ("budget:b", 1, WINDOW_US, "l", "0"),
        ("tokens:r", 1, WINDOW_US, "r", "4"),
        ("p", 0, 0, "p", "1"),
    ]
    await end(batcher, "a")
    assert await read_holds(batcher, tenant().id, ["a"]) == []


async def test_expired_holds_are_listed_until_they_are_ended_oldest_first(batcher: ScriptBatcher) -> None:
    for number in range(5):
        await ask(batcher, f"{number}", Asks(meter_id="p", kind="p"), expires_us=NOW_US + number)
    found = await list_expired_holds(batcher, tenant().id, now_us=NOW_US + 3, most=3)
    assert (found.open, found.ended, [hold.request_id for hold in found.expired]) == (5, 0, ["0", "1", "2"])
    await end(batcher, "0", "1")
    found = await list_expired_holds(batcher, tenant().id, now_us=NOW_US + 3, most=3)
    assert (found.open, found.ended, [hold.request_id for hold in found.expired]) == (3, 2, ["2", "3"])


async def test_usage_kept_in_redis_only_counts_once_for_a_call_that_holds(batcher: ScriptBatcher, redis: Redis) -> None:
    await ask(batcher, "a", TOKENS)
    use = LiveUse("a", "tokens:r", 1, WINDOW_US, 6)
    for _ in range(3):
        await settle(batcher, tenant(), Settled(ended=["a"], uses=[use]), now_us=NOW_US)
    assert await redis.hget(METERS, "tokens:r") == f"1:{WINDOW_US}:6".encode()
    for used in (7, 8):
        await settle(batcher, tenant(), Settled(uses=[LiveUse("", "tokens:r", 1, WINDOW_US, 1)]), now_us=NOW_US)
        assert await redis.hget(METERS, "tokens:r") == f"1:{WINDOW_US}:{used}".encode()
    # Of a window that is over, or an epoch, it changes nothing; of the next it begins anew.
    for epoch, window_us, stands in ((1, WINDOW_US - 1, 8), (0, WINDOW_US + 9, 8), (1, WINDOW_US + 1, 5), (2, 0, 5)):
        await settle(batcher, tenant(), Settled(uses=[LiveUse("", "tokens:r", epoch, window_us, 5)]), now_us=NOW_US)
        stored = await redis.hget(METERS, "tokens:r")
        assert stored is not None
        assert stored.decode().endswith(f":{stands}")  # type: ignore[union-attr]


async def test_tenants_with_holds_are_listed_in_pages_and_taken_out_when_quiet(batcher: ScriptBatcher) -> None:
    for number in range(5):
        await note_holding(batcher, f"t{number}", now_us=number)
    assert await list_holding(batcher, start=0, most=3) == ["t0", "t1", "t2"]
    await note_holding(batcher, "t1", now_us=9)
    # t1 was noted again since.
    left = await list_holding(batcher, start=0, most=9, done=["t0", "t1", "t4"], done_before_us=9)
    assert left == ["t2", "t3", "t1"]


amounts = st.integers(0, 30) | st.integers(10**15 - 3, 10**15 + 3) | st.integers(2**53 - 3, 2**53 + 3)
amounts |= st.integers(10**18 - 3, 10**18 + 3)


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(used=amounts, before=amounts, amount=st.none() | amounts, room=st.integers(-2, 2))
@example(used=2**53, before=1, amount=1, room=1)
@example(used=999_999_999, before=1, amount=0, room=0)
async def test_room_is_compared_exactly_at_any_size(
    batcher: ScriptBatcher, redis: Redis, used: int, before: int, amount: int | None, room: int
) -> None:
    """Against Python's integers; `room` is what is left after the call."""
    await redis.flushdb()
    limit = max(used + before + (amount or 0) + room, 1)
    asks = Asks(limit=limit, amount=amount)
    await warm(batcher, state(used=used))
    if before:
        await ask(batcher, "before", Asks(kind="L", amount=before))
    fits = used + before < limit if amount is None else used + before + amount <= limit
    assert await ask_plain(batcher, "a", asks) == ("ok" if fits else "refused", f"{used} {before}")
    expected = before + (amount or 0 if fits else 0)
    assert sum((await held(redis)).values()) == expected
    await end(batcher, "a", "before")
    assert await held(redis) == {}
