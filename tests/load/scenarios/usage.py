"""Usage, durable when answered: one event a request beside the same app, arrays beside COPY of the same rows."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from service.store.postgres import connect
from tests.load import wrk
from tests.load.asking import post, values_of
from tests.load.bench import Bench, Deployment, Service
from tests.load.bodies import USAGE, usage_body
from tests.load.figures import Floor, Sample
from tests.load.scenarios.authorize import thousand_keys
from tests.load.scenarios.scenario import Measure, Scenario
from tests.load.sides.copying import copying
from tests.load.sides.fixed_body import fixed_body
from tests.load.sides.same_app import same_app
from tests.load.wrk import LoadError

_BATCH = 500
_BATCH_CONNECTIONS = 4


@contextmanager
def one_by_one(bench: Bench) -> Iterator[Sequence[Measure]]:
    deployment = bench.fleet(thousand_keys())
    with bench.serve(deployment) as service:
        answer = post(service, USAGE, usage_body(values_of(service)[0], uuid4().hex))
        with same_app(bench, deployment, answer) as same, fixed_body(bench, answer, like=service) as bare:
            yield [
                _reporting(bench, deployment, service),
                _posting(bench, same, "same app"),
                _posting(bench, bare, "bare aiohttp"),
            ]


@contextmanager
def arrays(bench: Bench) -> Iterator[Sequence[Measure]]:
    deployment = bench.fleet(thousand_keys())
    with bench.serve(deployment) as service:
        values = values_of(service)
        post(service, USAGE, [usage_body(values[number % len(values)], uuid4().hex) for number in range(_BATCH)])
        with copying(bench, deployment, batch=_BATCH) as copy:
            yield [
                _reporting(bench, deployment, service, batch=_BATCH),
                Measure("COPY", copy.measure),
            ]


def _reporting(bench: Bench, deployment: Deployment, service: Service, *, batch: int = 1) -> Measure:
    """Events a second, and each of them in the ledger afterwards. Raises LoadError when some are not."""
    posting = _posting(bench, service, "usage", batch=batch)

    def run(seconds: float) -> Sample:
        before = asyncio.run(_events_booked(deployment))
        sample = posting.run(seconds)
        booked = asyncio.run(_events_booked(deployment)) - before
        # wrk counts what was answered within its time: a little less than its seconds' worth.
        if booked < sample.value * (int(seconds) or 1) * 0.99:
            raise LoadError(f"answered {sample.value * seconds:.0f} events, but the ledger has {booked} more")
        return sample

    return Measure(posting.label, run, service.pid)


def _posting(bench: Bench, service: Service, label: str, *, batch: int = 1) -> Measure:
    target = service.target(USAGE, "usage" if batch == 1 else "usage_batch", batch=batch)
    connections = bench.options.connections if batch == 1 else _BATCH_CONNECTIONS
    return Measure(
        label,
        lambda seconds: wrk.measure(target, connections=connections, seconds=seconds, per_request=batch),
        service.pid,
    )


async def _events_booked(deployment: Deployment) -> int:
    connection = await connect(deployment.settings.database_url)
    booked: int = await connection.fetchval("SELECT count(*) FROM usage_requests")
    await connection.close()
    return booked


SCENARIOS = (
    Scenario(
        name="usage",
        says="usage, one event a POST, in the ledger when answered; beside the same app with a fixed body",
        unit="events/s",
        floor=Floor(0.25),
        needs=("wrk", USAGE),
        sides=one_by_one,
    ),
    Scenario(
        name="usage-arrays",
        says="usage, arrays of 500; beside COPY of the same rows by one connection, as many rows a commit",
        unit="events/s",
        floor=Floor(0.25),
        needs=("wrk", USAGE),
        sides=arrays,
    ),
)
