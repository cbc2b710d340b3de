"""What running it costs: memory, the start, a second worker, and how long one request keeps the others waiting."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
import psutil

from tests.load import cores
from tests.load.asking import allowed_answer, get, values_of
from tests.load.bench import Bench, Deployment, Service
from tests.load.bodies import AUTHORIZE
from tests.load.figures import Floor, Sample
from tests.load.fleet import Fleet
from tests.load.scenarios.authorize import HUNDRED_THOUSAND_USED_KEYS, authorize_each, authorizing, thousand_keys
from tests.load.scenarios.scenario import Measure, Scenario
from tests.load.scenarios.tree import CUSTOMERS

_HUNDRED_THOUSAND_KEYS = Fleet(1000, 10, 10)
_HUNDRED_KEYS = Fleet(10, 2, 5)
_PAGE = 100


@contextmanager
def memory_of_tree(bench: Bench) -> Iterator[Sequence[Measure]]:
    with bench.serve(bench.fleet(_HUNDRED_THOUSAND_KEYS)) as service:
        yield [Measure("a worker", lambda _: _megabytes_after(service, read_by_pages))]


@contextmanager
def memory(bench: Bench) -> Iterator[Sequence[Measure]]:
    with bench.serve(bench.fleet(HUNDRED_THOUSAND_USED_KEYS)) as service:

        def use(service: Service) -> None:
            authorize_each(service)
            read_by_pages(service)

        yield [Measure("a worker", lambda _: _megabytes_after(service, use))]


@contextmanager
def start(bench: Bench) -> Iterator[Sequence[Measure]]:
    deployments = {"100 000 keys": _HUNDRED_THOUSAND_KEYS, "100 keys": _HUNDRED_KEYS}
    yield [_starting(bench, label, bench.fleet(fleet)) for label, fleet in deployments.items()]


@contextmanager
def two_workers(bench: Bench) -> Iterator[Sequence[Measure]]:
    """Stores, load and workers all share all cores."""
    deployment = bench.fleet(thousand_keys())
    with (
        bench.everything_everywhere(),
        bench.serve(deployment, workers=2, on=cores.ALL) as two,
        bench.serve(deployment, workers=1, on=cores.ALL) as one,
    ):
        allowed_answer(two, values_of(two)[0])
        yield [authorizing(bench, two, "2 workers"), authorizing(bench, one, "1 worker")]


def read_by_pages(service: Service) -> None:
    """The whole tree, page by page."""
    offset = 0
    while offset < _total(get(service, f"{CUSTOMERS}?limit={_PAGE}&offset={offset}")):
        offset += _PAGE


class _Counted(msgspec.Struct):
    total_count: int


def _total(page: bytes) -> int:
    return msgspec.json.decode(page, type=_Counted).total_count


def _megabytes_after(service: Service, use: Callable[[Service], None]) -> Sample:
    use(service)
    return Sample(psutil.Process(service.pid).memory_info().rss / 1e6)


def _starting(bench: Bench, label: str, deployment: Deployment) -> Measure:
    def run(_: float) -> Sample:
        begun = time.perf_counter()
        with bench.serve(deployment):
            return Sample(time.perf_counter() - begun)

    return Measure(label, run)


SCENARIOS = (
    Scenario(
        name="memory",
        says="memory of a worker after 100 000 keys authorized and the whole tree read by pages",
        unit="MB",
        floor=Floor(350, "at most"),
        needs=(AUTHORIZE,),
        once=True,
        sides=memory,
    ),
    Scenario(
        name="memory-tree",
        says="memory of a worker after the whole tree of 100 000 keys was read by pages",
        unit="MB",
        floor=Floor(350, "at most"),
        once=True,
        sides=memory_of_tree,
    ),
    Scenario(
        name="start",
        says="serve, from start to ready, with 100 000 keys; beside 100 keys",
        unit="s",
        floor=Floor(1.2, "at most"),
        sides=start,
    ),
    Scenario(
        name="workers",
        says="authorize by 2 workers, everything on all cores; beside 1 worker",
        unit="decisions/s",
        floor=Floor(1.2),
        needs=("wrk", AUTHORIZE),
        sides=two_workers,
    ),
)
