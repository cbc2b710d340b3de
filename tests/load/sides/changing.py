"""Usage that keeps being booked, as settlement does it: the ledger, then a merge.

`python -m tests.load.sides.changing INTERVAL_SECONDS`, the stores in the environment; on standard input the ids of
budgets, one a line: all of them are charged every INTERVAL_SECONDS, in one batch.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from subprocess import PIPE, Popen
from uuid import uuid4

from service.counters.client import CounterClient, open_counters
from service.counters.meters import merge_windows
from service.domain.meters import Meter
from service.settings import load_settings, to_environment
from service.store.ledger import record_usage
from service.store.postgres import Connection, connect
from tests.factories import meter_of_budget, usage_event
from tests.load.bench import Bench, Deployment

_COST_NANOUSD = 1_000_000
_END_SECONDS = 20


@contextmanager
def changing(bench: Bench, deployment: Deployment, *, every_seconds: float, share: float = 1.0) -> Iterator[None]:
    """Book usage on one budget of each of a `share` of the customers while the block runs; on the cores of the load."""
    budget_ids = asyncio.run(_one_budget_of_each_customer(deployment))
    chosen = budget_ids[:: max(1, round(1 / share))] if share else []
    if not chosen:
        yield
        return
    with bench.log("changing").open("ab") as log:
        process = Popen(
            [sys.executable, "-m", "tests.load.sides.changing", str(every_seconds)],
            stdin=PIPE,
            stderr=log,
            env=to_environment(deployment.settings),
        )
        assert process.stdin is not None
        process.stdin.write("\n".join(chosen).encode())
        process.stdin.close()
    try:
        yield
    finally:
        process.terminate()
        process.wait(_END_SECONDS)


async def book(connection: Connection, counters: CounterClient, meters: Sequence[tuple[str, Meter]]) -> None:
    """One event for each meter, all in one batch."""
    now = datetime.now(UTC)
    events = [usage_event(uuid4().hex, (tenant_id, meter, _COST_NANOUSD), at=now) for tenant_id, meter in meters]
    await merge_windows(counters, (await record_usage(connection, events)).windows)


async def _one_budget_of_each_customer(deployment: Deployment) -> list[str]:
    connection = await connect(deployment.settings.database_url)
    rows = await connection.fetch(
        "SELECT DISTINCT ON (tenant_id) id FROM budgets WHERE tenant_id LIKE 'customer:%' ORDER BY tenant_id, id"
    )
    await connection.close()
    return [row["id"] for row in rows]


async def _main(budget_ids: Sequence[str], every_seconds: float) -> None:
    settings = load_settings()
    connection = await connect(settings.database_url)
    counters = open_counters(settings)
    meters = [await meter_of_budget(connection, budget_id) for budget_id in budget_ids]
    started = time.monotonic()
    # Ended by its parent; at the end of a day at the latest.
    for number in itertools.takewhile(lambda number: number * every_seconds < 86_400, itertools.count(1)):
        await book(connection, counters, meters)
        await asyncio.sleep(max(0.0, started + number * every_seconds - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(_main(sys.stdin.read().split("\n"), float(sys.argv[1])))
