"""Reads of the tree beside nginx serving the same bytes from a file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from service.demo.shape import DemoShape
from tests.load import wrk
from tests.load.asking import get
from tests.load.bench import Bench, Deployment, Service
from tests.load.figures import Floor
from tests.load.fleet import Fleet
from tests.load.scenarios.scenario import Measure, Scenario
from tests.load.sides.changing import changing
from tests.load.sides.nginx import nginx

CUSTOMERS = "/api/governance/customers"
# The customer of the contract this project started from: one team, one virtual key.
_ONE = DemoShape(customers=1, teams=1, keys=1)
_LARGE = DemoShape(customers=100, teams=5, keys=8)
_PAGE = 25
_TREE_CONNECTIONS = 4


@contextmanager
def one_customer(bench: Bench) -> Iterator[Sequence[Measure]]:
    deployment = bench.demo(_ONE)
    with (
        bench.serve(deployment) as service,
        changing(bench, deployment, every_seconds=0.01),
        _beside_nginx(bench, service, connections=bench.options.connections) as measures,
    ):
        yield measures


@contextmanager
def unchanged(bench: Bench) -> Iterator[Sequence[Measure]]:
    with _large_tree(bench, bench.demo(_LARGE), share=0) as measures:
        yield measures


@contextmanager
def one_in_ten(bench: Bench) -> Iterator[Sequence[Measure]]:
    with _large_tree(bench, bench.demo(_LARGE), share=0.1) as measures:
        yield measures


@contextmanager
def page_of_many(bench: Bench) -> Iterator[Sequence[Measure]]:
    """Customers a second: a page of a deployment of ten holds ten of them."""
    with (
        bench.serve(bench.fleet(Fleet(1000, 10, 10))) as many,
        bench.serve(bench.fleet(Fleet(10, 10, 10))) as few,
    ):
        yield [
            _pages("of 1000 customers", many, limit=_PAGE, customers=_PAGE),
            _pages("of 10 customers", few, limit=_PAGE, customers=10),
        ]


@contextmanager
def same_page_of_many(bench: Bench) -> Iterator[Sequence[Measure]]:
    """The same number of bytes on both sides: what is left is what the size of the deployment costs."""
    with (
        bench.serve(bench.fleet(Fleet(1000, 10, 10))) as many,
        bench.serve(bench.fleet(Fleet(10, 10, 10))) as few,
    ):
        yield [
            _pages("of 1000 customers", many, limit=10, customers=10),
            _pages("of 10 customers", few, limit=10, customers=10),
        ]


@contextmanager
def _large_tree(bench: Bench, deployment: Deployment, *, share: float) -> Iterator[Sequence[Measure]]:
    changes = changing(bench, deployment, every_seconds=1, share=share) if share else nullcontext()
    with (
        bench.serve(deployment) as service,
        changes,
        _beside_nginx(bench, service, connections=_TREE_CONNECTIONS) as measures,
    ):
        yield measures


@contextmanager
def _beside_nginx(bench: Bench, service: Service, *, connections: int) -> Iterator[Sequence[Measure]]:
    with nginx(bench, get(service, CUSTOMERS)) as beside:
        yield [
            _reading("GET customers", service, CUSTOMERS, connections=connections),
            _reading("nginx", beside, "/body", connections=connections),
        ]


def _pages(label: str, service: Service, *, limit: int, customers: int) -> Measure:
    return _reading(label, service, f"{CUSTOMERS}?limit={limit}", connections=_TREE_CONNECTIONS, per_request=customers)


def _reading(label: str, service: Service, path: str, *, connections: int, per_request: int = 1) -> Measure:
    target = service.target(path)
    return Measure(
        label,
        lambda seconds: wrk.measure(target, connections=connections, seconds=seconds, per_request=per_request),
        service.pid,
    )


SCENARIOS = (
    Scenario(
        name="tree-one-customer",
        says="GET customers, one customer, its usage changing 100 times a second; beside nginx serving the same bytes",
        unit="requests/s",
        floor=Floor(0.30),
        needs=("wrk", "nginx"),
        sides=one_customer,
    ),
    Scenario(
        name="tree-unchanged",
        says="GET customers, 100 customers × 5 teams × 8 keys, unchanged; beside nginx serving the same bytes",
        unit="trees/s",
        floor=Floor(0.80),
        needs=("wrk", "nginx"),
        sides=unchanged,
    ),
    Scenario(
        name="tree-changing",
        says="the same, one tenant in ten changing every second; beside nginx serving the same bytes",
        unit="trees/s",
        floor=Floor(0.60),
        needs=("wrk", "nginx"),
        sides=one_in_ten,
    ),
    Scenario(
        name="tree-page",
        says="GET customers?limit=25 out of 1000 customers, 100 000 keys; beside 10 customers of the same size",
        unit="customers/s",
        floor=Floor(0.70),
        needs=("wrk",),
        sides=page_of_many,
    ),
    Scenario(
        name="tree-same-page",
        says="GET customers?limit=10 out of 1000 customers, 100 000 keys; beside 10 customers of the same size",
        unit="customers/s",
        floor=Floor(0.70),
        needs=("wrk",),
        sides=same_page_of_many,
    ),
)
