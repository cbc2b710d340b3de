"""Holds of reported calls: asked for once a turn, and each caller is told of its own."""

import asyncio

from service.counters.batching import ScriptBatcher
from service.counters.calls import ScriptCall
from service.counters.client import CounterClient
from service.governance.holds import KnownHolds
from service.governance.settlement.held import HoldFinder
from tests.factories import Factory
from tests.gateway import VALUE
from tests.governance.engine.worker import Worker


class Counting(ScriptBatcher):
    def __init__(self, inner: ScriptBatcher) -> None:
        self._inner = inner
        self.asked: list[ScriptCall] = []

    @property
    def is_cluster(self) -> bool:
        return self._inner.is_cluster

    async def run(self, call: ScriptCall) -> bytes:
        self.asked.append(call)
        return await self._inner.run(call)


async def test_calls_of_one_turn_are_asked_for_together(worker: Worker, make: Factory, counters: CounterClient) -> None:
    await make.budget(virtual_key_id=await make.virtual_key(value=VALUE, allow_all_providers=True))
    for number in range(3):
        await worker.authorize(request_id=f"{number}", estimated_cost=1)
    batcher = Counting(counters.batcher)
    finder = HoldFinder(batcher, KnownHolds())
    found = await asyncio.gather(*(finder.find([f"{number}"]) for number in range(20)))
    assert [list(each) for each in found] == [["0"], ["1"], ["2"], *([] for _ in range(17))]
    asked = [call for call in batcher.asked if call.script.name == "find_holds"]
    assert [len(call.keys) for call in asked] == ([1] * 20 if batcher.is_cluster else [20])


async def test_who_goes_away_takes_no_answer_from_others(
    worker: Worker, make: Factory, counters: CounterClient
) -> None:
    await make.budget(virtual_key_id=await make.virtual_key(value=VALUE, allow_all_providers=True))
    await worker.authorize(request_id="a", estimated_cost=1)
    finder = HoldFinder(counters.batcher, KnownHolds())
    gone, waits = (asyncio.ensure_future(finder.find(["a"])) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert list(await waits) == ["a"]
