"""Keys of another type, and fields somebody else wrote: no call moves a counter half way, and others go on."""

import pytest
from redis.asyncio import Redis

from service.counters.batching import ScriptBatcher
from service.counters.client import CounterClient, CountersUnavailableError
from service.counters.holds import LiveUse, Settled, list_expired_holds, read_holds, settle
from tests.counters.holding import (
    ENDED,
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

ASKS = (Asks(amount=5), Asks(meter_id="tokens:r", kind="r", amount=5), Asks(meter_id="parallel:x", kind="p"))
DAMAGE = (b"x", b"", b"-5", b"007", b"1e3", b"9" * 19, b"9" * 40, b"\xff", "٣".encode())


@pytest.fixture
def batcher(counters: CounterClient) -> ScriptBatcher:
    return counters.batcher


@pytest.mark.parametrize("key", [METERS, HELD, HOLDS, EXPIRIES, ENDED])
async def test_a_key_of_another_type_moves_nothing(batcher: ScriptBatcher, redis: Redis, key: str) -> None:
    await warm(batcher, state(used=3))
    await ask(batcher, "a", *ASKS)
    kept = await redis.dump(key) if await redis.exists(key) else None
    await redis.delete(key)
    await redis.set(key, "of another type")
    before = await everything(redis)
    if key != ENDED:  # which asking does not touch
        with pytest.raises(CountersUnavailableError):
            await ask(batcher, "b", *ASKS)
        assert await everything(redis) == before
    uses = [LiveUse("a", "tokens:r", 1, WINDOW_US, 4)]
    with pytest.raises(CountersUnavailableError):
        await settle(batcher, tenant(), Settled([state(used=8)], ["a"], uses), now_us=NOW_US)
    after = await everything(redis)
    assert (after.get(METERS), after.get(HELD), after[key]) == (before.get(METERS), before.get(HELD), before[key])
    await redis.delete(key)
    if kept:
        await redis.restore(key, 0, kept)
    assert await settle(batcher, tenant(), Settled([state(used=8)], ["a"], uses), now_us=NOW_US) == 1
    assert (await redis.hget(METERS, "budget:b"), await redis.hlen(HELD)) == (f"1:{WINDOW_US}:8".encode(), 0)


@pytest.mark.parametrize("damage", DAMAGE, ids=repr)
async def test_a_held_amount_that_is_none_holds_nothing_and_is_repaired(
    batcher: ScriptBatcher, redis: Redis, damage: bytes
) -> None:
    await warm(batcher)
    await redis.hset(HELD, mapping={each.field: damage for each in ASKS})
    answer = await ask(batcher, "a", *ASKS)
    assert (answer.outcome, answer.rest) == ("ok", "0 0 0 0 0 0")
    assert await redis.hgetall(HELD) == {
        each.field.encode(): amount for each, amount in zip(ASKS, (b"5", b"5", b"1"), strict=True)
    }
    await redis.hset(HELD, mapping={each.field: damage for each in ASKS})
    assert (await end(batcher, "a"), await redis.exists(HELD)) == (1, 0)


async def test_a_damaged_amount_of_a_call_that_is_refused_stays(batcher: ScriptBatcher, redis: Redis) -> None:
    await redis.hset(HELD, "parallel:x", "x")
    before = await everything(redis)
    assert (await ask(batcher, "a", Asks(meter_id="p", kind="p", limit=0), ASKS[2])).outcome == "refused"
    assert await everything(redis) == before


@pytest.mark.parametrize("damage", [b"x", b"", b"1:2", b"1:x:3", b"1:0:" + b"9" * 20, b"\xff"], ids=repr)
async def test_a_state_that_is_none_is_cold(batcher: ScriptBatcher, redis: Redis, damage: bytes) -> None:
    await warm(batcher)
    await redis.hset(METERS, mapping={"budget:b": damage, "tokens:r": damage})
    assert (await ask(batcher, "a", *ASKS)).rest == ["budget:b"]
    await warm(batcher, state(used=4))
    assert (await ask(batcher, "a", *ASKS)).rest == "4 0 0 0 0 0"


@pytest.mark.parametrize("damage", [b"x", b"", b"\xc1", b"\x93\x01\x02\x03", b"\x80", b"\xff" * 99], ids=repr)
async def test_a_hold_that_cannot_be_read_is_none(batcher: ScriptBatcher, redis: Redis, damage: bytes) -> None:
    await ask(batcher, "whole", ASKS[2], expires_us=NOW_US)
    for request_id in ("read", "asked", "ended", "listed"):
        await redis.hset(HOLDS, request_id, damage)
        await redis.zadd(EXPIRIES, {request_id: NOW_US})
    assert [hold.request_id for hold in await read_holds(batcher, tenant().id, ["read", "whole"])] == ["whole"]
    assert (await ask(batcher, "asked", ASKS[2])).outcome == "ok"
    assert await end(batcher, "ended") == 1
    found = await list_expired_holds(batcher, tenant().id, now_us=NOW_US, most=10)
    assert [hold.request_id for hold in found.expired] == ["whole"]
    assert sorted(await redis.zrange(EXPIRIES, 0, -1)) == [b"asked", b"whole"]
    assert await redis.hget(HELD, "parallel:x") == b"2"
