"""Reads of the tree, against its size and against how much of it changed since the last."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from service.counters.client import open_counters
from service.demo.shape import DemoShape
from service.store.postgres import connect
from tests.factories import meter_of_budget
from tests.load.asking import get
from tests.load.bench import Bench, Deployment, Service
from tests.load.figures import Sample, percentile
from tests.load.growth.curve import Curve, Point
from tests.load.scenarios.scenario import Measure
from tests.load.scenarios.tree import CUSTOMERS
from tests.load.sides.changing import book

_TEAMS, _KEYS = 5, 8
_CUSTOMERS = 100


@contextmanager
def by_size(bench: Bench) -> Iterator[Sequence[Point]]:
    """Unchanged trees; x is their size in MB."""
    with ExitStack() as services:
        points: list[Point] = []
        for customers in (3, 10, 30, 100, 300):
            deployment = bench.demo(DemoShape(customers=customers, teams=_TEAMS, keys=_KEYS))
            service = services.enter_context(bench.serve(deployment))
            size_mb = len(get(service, CUSTOMERS)) / 1e6
            points.append(Point(size_mb, _reading(service, deployment, changed=0)))
        yield points


@contextmanager
def by_change(bench: Bench) -> Iterator[Sequence[Point]]:
    """One tree; usage of a part of its customers is booked before each read."""
    deployment = bench.demo(DemoShape(customers=_CUSTOMERS, teams=_TEAMS, keys=_KEYS))
    with bench.serve(deployment) as service:
        yield [Point(changed, _reading(service, deployment, changed=changed)) for changed in (0, 1, 5, 10, 25, 50, 100)]


def _reading(service: Service, deployment: Deployment, *, changed: int) -> Measure:
    def run(seconds: float) -> Sample:
        took_ms = sorted(asyncio.run(_read_for(seconds, service, deployment, changed=changed)))
        median_ms = percentile(took_ms, 0.5)
        return Sample(median_ms, median_ms, percentile(took_ms, 0.99))

    return Measure(f"{changed}", run)


async def _read_for(seconds: float, service: Service, deployment: Deployment, *, changed: int) -> list[float]:
    connection = await connect(deployment.settings.database_url)
    counters = open_counters(deployment.settings)
    rows = await connection.fetch(
        "SELECT DISTINCT ON (tenant_id) id FROM budgets "
        "WHERE tenant_id LIKE 'customer:%' ORDER BY tenant_id, id LIMIT $1",
        changed,
    )
    meters = [await meter_of_budget(connection, row["id"]) for row in rows]
    took_ms: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        if meters:
            await book(connection, counters, meters)
        begun = time.perf_counter()
        await asyncio.to_thread(get, service, CUSTOMERS)
        took_ms.append((time.perf_counter() - begun) * 1000)
    await counters.close()
    await connection.close()
    return took_ms


CURVES = (
    Curve(name="tree-size", says="GET customers, unchanged", x="size in MB", points=by_size),
    Curve(
        name="tree-change",
        says=f"GET customers, {_CUSTOMERS} customers × {_TEAMS} teams × {_KEYS} keys",
        x="customers whose usage changed since the last read",
        points=by_change,
    ),
)
