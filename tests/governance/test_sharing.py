"""Sharing of runs: few runs for many callers, and nobody gets an answer older than the question."""

import asyncio
import gc

import pytest

from service.governance.sharing import SharedRuns


class Work:
    """A run that waits to be let go, and answers how many runs had begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.at_once = 0
        self.most_at_once = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.begun += 1
        number, error = self.begun, self.error
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.go.wait()
        finally:
            self.at_once -= 1
        if error:
            raise error
        return number


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_callers_at_one_time_share_one_run() -> None:
    runs, work = SharedRuns[str, int](), Work()
    work.go.set()
    assert await asyncio.gather(*(runs.join("tree", work) for _ in range(100))) == [1] * 100


async def test_however_many_join_a_run_under_way_one_more_is_made() -> None:
    runs, work = SharedRuns[str, int](), Work()
    first = asyncio.create_task(runs.join("tree", work))
    await turns()
    later = [asyncio.create_task(runs.join("tree", work)) for _ in range(100)]
    await turns()
    assert work.begun == 1
    work.go.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 100
    assert (work.begun, work.most_at_once) == (2, 1)


async def test_nobody_gets_a_run_that_began_before_the_question() -> None:
    runs, work = SharedRuns[str, int](), Work()
    work.go.set()

    async def ask() -> None:
        for _ in range(20):
            begun_before = work.begun
            assert await runs.join("tree", work) > begun_before
            await asyncio.sleep(0)

    await asyncio.gather(*(ask() for _ in range(20)))
    assert work.most_at_once == 1
    assert work.begun < 200


async def test_different_questions_do_not_wait_for_each_other() -> None:
    runs, slow, fast = SharedRuns[str, int](), Work(), Work()
    fast.go.set()
    waiting = asyncio.create_task(runs.join("slow", slow))
    await turns()
    assert await runs.join("fast", fast) == 1
    slow.go.set()
    assert await waiting == 1


async def test_an_error_reaches_all_who_share_the_run_and_nobody_else() -> None:
    runs, work = SharedRuns[str, int](), Work()
    work.error = RuntimeError("store")
    failing = [asyncio.create_task(runs.join("tree", work)) for _ in range(3)]
    await turns()
    work.error = None
    later = asyncio.create_task(runs.join("tree", work))
    await turns()
    work.go.set()
    results = await asyncio.gather(*failing, return_exceptions=True)
    assert [str(result) for result in results] == ["store"] * 3
    assert await later == 2


@pytest.mark.parametrize("who", ["first", "last"])
async def test_a_caller_who_goes_away_leaves_the_run_to_the_others(who: str) -> None:
    runs, work = SharedRuns[str, int](), Work()
    callers = [asyncio.create_task(runs.join("tree", work)) for _ in range(3)]
    await turns()
    gone = callers.pop(0 if who == "first" else -1)
    gone.cancel()
    await turns()
    assert gone.cancelled()
    work.go.set()
    assert await asyncio.gather(*callers) == [1, 1]


async def test_when_all_callers_went_away_the_next_is_still_answered() -> None:
    runs, work = SharedRuns[str, int](), Work()
    noise: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context["message"]))
    work.error = RuntimeError("nobody is there to hear it")
    gone = [asyncio.create_task(runs.join("tree", work)) for _ in range(3)]
    await turns()
    for caller in gone:
        caller.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    work.error = None
    next_caller = asyncio.create_task(runs.join("tree", work))
    work.go.set()
    assert await next_caller == 2
    gc.collect()
    assert noise == []


async def test_questions_that_were_answered_are_forgotten() -> None:
    runs, work = SharedRuns[int, int](), Work()
    work.go.set()
    await asyncio.gather(*(runs.join(number % 50, work) for number in range(200)))
    work.error = RuntimeError("store")
    await asyncio.gather(*(runs.join(number, work) for number in range(50)), return_exceptions=True)
    await turns()
    gc.collect()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    kept = [tasks for tasks in vars(runs).values() if isinstance(tasks, dict)]
    assert kept == [{}] * len(kept) != []
