"""What unfinished calls hold: read by tenant, and nothing where nothing well-formed is."""

from redis.asyncio import Redis

from service.counters.client import CounterClient
from service.counters.held import read_held


async def test_held_is_read_for_each_tenant(counters: CounterClient, redis: Redis) -> None:
    await redis.hset("gov:{customer:a}:held", "budget:x in 1:0:", str(2**63 - 1))
    await redis.hset("gov:{customer:a}:held", "parallel:customer:a", "3")
    await redis.hset("gov:{global}:held", "budget:y in 1:0:", "5")
    fields_of_a = ["budget:x in 1:0:", "parallel:customer:a", "budget:none in 1:0:"]
    asked = {"customer:a": fields_of_a, "global": ["budget:y in 1:0:"]}
    assert await read_held(counters, asked) == {
        "budget:x in 1:0:": 2**63 - 1,
        "parallel:customer:a": 3,
        "budget:none in 1:0:": 0,
        "budget:y in 1:0:": 5,
    }


async def test_what_is_not_well_formed_is_nothing(counters: CounterClient, redis: Redis) -> None:
    values = ["-3", "1.5", "much", "", "1" * 20]
    for number, value in enumerate(values):
        await redis.hset("gov:{customer:a}:held", str(number), value)
    fields = [str(number) for number in range(len(values))]
    assert set((await read_held(counters, {"customer:a": fields})).values()) == {0}


async def test_many_fields_are_read_in_pieces(counters: CounterClient, redis: Redis) -> None:
    await redis.hset("gov:{customer:a}:held", "2499", "7")
    fields = [str(number) for number in range(2500)]
    held = await read_held(counters, {"customer:a": fields})
    assert (len(held), held["2499"], sum(held.values())) == (2500, 7, 7)


async def test_nothing_asked_for_is_nothing(counters: CounterClient) -> None:
    assert await read_held(counters, {}) == {}
