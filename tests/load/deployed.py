"""Scenarios against a deployment that runs already: `python -m tests.load --url …`. Nothing is beside it."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from tests.load import wrk
from tests.load.bench import Bench, Service
from tests.load.bodies import AUTHORIZE, USAGE
from tests.load.figures import Sample
from tests.load.scenarios.scenario import Measure, Scenario
from tests.load.wrk import Kind

_CUSTOMERS = "/api/governance/customers?limit=25"
_BATCH = 500
# More arrays at a time than may wait for the ledger would be refused, as they should be.
_BATCH_CONNECTIONS = 4


def deployed(bench: Bench, url: str, *, token: str, virtual_key: str) -> Sequence[Scenario]:
    """Without a virtual key nothing is authorized and no usage is booked: then only reads are measured."""
    service = Service(url.rstrip("/"), token, _values(bench.folder, virtual_key))
    reads = [_scenario(bench, service, "customers", _CUSTOMERS, "get")]
    if not virtual_key:
        return reads
    return [
        *reads,
        _scenario(bench, service, "authorize", AUTHORIZE, "authorize"),
        _scenario(bench, service, "usage", USAGE, "usage"),
        _scenario(bench, service, "usage-arrays", USAGE, "usage_batch", batch=_BATCH),
    ]


def _scenario(bench: Bench, service: Service, name: str, path: str, kind: Kind, *, batch: int = 1) -> Scenario:
    target = service.target(path, kind, batch=batch)
    connections = bench.options.connections if batch == 1 else _BATCH_CONNECTIONS

    def run(seconds: float) -> Sample:
        return wrk.measure(target, connections=connections, seconds=seconds, per_request=batch)

    return Scenario(
        name=name,
        says=f"{path} of {service.url}",
        unit="requests/s" if batch == 1 else "events/s",
        needs=("wrk",),
        sides=lambda _: nullcontext([Measure(name, run)]),
    )


def _values(folder: Path, virtual_key: str) -> Path:
    path = folder / "deployed.values"
    path.write_text(virtual_key)
    return path
