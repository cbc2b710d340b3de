"""A short chaos by three plans at once; `python -m tests.faults.chaos` runs longer ones."""

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT

SEEDS = (1, 2, 3)
SECONDS, WORKERS = "20", "2"
# They end by themselves long before, but for a hang.
MOST_SECONDS = 150


async def test_whatever_breaks_what_was_acknowledged_is_booked_once_and_every_sum_agrees() -> None:
    outcomes = await asyncio.gather(*map(run, SEEDS))
    for exit_code, output in outcomes:
        assert exit_code == 0, output


async def run(seed: int) -> tuple[int | None, str]:
    command = (sys.executable, "-m", "tests.faults.chaos", "--seed", str(seed))
    process = await asyncio.create_subprocess_exec(
        *command, "--seconds", SECONDS, "--workers", WORKERS, stdout=PIPE, stderr=STDOUT
    )
    try:
        async with asyncio.timeout(MOST_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        output, _ = await process.communicate()
    return process.returncode, output.decode()
