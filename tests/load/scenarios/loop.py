"""How long one request holds the event loop, and so keeps every other request of its worker waiting."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

from service.counters.client import open_counters
from service.demo.shape import DemoShape
from service.store.postgres import connect
from tests.factories import meter_of_budget
from tests.load.asking import get
from tests.load.bench import Bench, Deployment
from tests.load.figures import Floor, Sample
from tests.load.scenarios.scenario import Measure, Scenario
from tests.load.scenarios.tree import CUSTOMERS
from tests.load.sides.changing import book
from tests.load.sides.ticking import Ticking, ticking

# About 50 MB of JSON each: as many customers as a large deployment has, and all of it one customer's.
_MANY_CUSTOMERS = DemoShape(customers=650, teams=5, keys=8)
_ONE_CUSTOMER = DemoShape(customers=1, teams=10, keys=1000)
_CACHE_MB = 2048
_EVENTS_PER_BATCH = 100

Sides: TypeAlias = Iterator[Sequence[Measure]]


@contextmanager
def first_read(bench: Bench, shape: DemoShape) -> Sides:
    """A service that was just started reads everything."""
    deployment = bench.demo(shape)

    def run(_: float) -> Sample:
        with ticking(bench, deployment, tree_cache_mb=_CACHE_MB) as watched:
            return watched.longest_ms(lambda: get(watched.service, CUSTOMERS))

    yield [Measure("a read", run)]


@contextmanager
def unchanged(bench: Bench, shape: DemoShape) -> Sides:
    with _kept(bench, bench.demo(shape), before=lambda: None) as measures:
        yield measures


@contextmanager
def changed(bench: Bench, shape: DemoShape) -> Sides:
    """Usage of every customer is booked between two reads."""
    deployment = bench.demo(shape)
    with _kept(bench, deployment, before=lambda: asyncio.run(_book_on_each_customer(deployment))) as measures:
        yield measures


@contextmanager
def _kept(bench: Bench, deployment: Deployment, *, before: Callable[[], None]) -> Sides:
    with ticking(bench, deployment, tree_cache_mb=_CACHE_MB) as watched:
        get(watched.service, CUSTOMERS)

        def run(_: float) -> Sample:
            before()
            return watched.longest_ms(lambda: _read(watched))

        yield [Measure("a read", run)]


def _read(watched: Ticking) -> bytes:
    return get(watched.service, CUSTOMERS)


async def _book_on_each_customer(deployment: Deployment) -> None:
    connection = await connect(deployment.settings.database_url)
    counters = open_counters(deployment.settings)
    rows = await connection.fetch("SELECT DISTINCT ON (tenant_id) id FROM budgets ORDER BY tenant_id, id")
    for first in range(0, len(rows), _EVENTS_PER_BATCH):
        chunk = rows[first : first + _EVENTS_PER_BATCH]
        await book(connection, counters, [await meter_of_budget(connection, row["id"]) for row in chunk])
    await counters.close()
    await connection.close()


_SHAPES = {
    "650 customers": ("loop", _MANY_CUSTOMERS),
    "one customer of 10 000 keys": ("loop-one", _ONE_CUSTOMER),
}
_READS = {
    "first": ("read for the first time", first_read),
    "unchanged": ("unchanged", unchanged),
    "changed": ("after usage of every customer changed", changed),
}

SCENARIOS = tuple(
    Scenario(
        name=f"{prefix}-{name}",
        says=f"the longest that GET customers holds the event loop: {of}, {says}",
        unit="ms",
        floor=Floor(20, "at most"),
        sides=partial(sides, shape=shape),
    )
    for of, (prefix, shape) in _SHAPES.items()
    for name, (says, sides) in _READS.items()
)
