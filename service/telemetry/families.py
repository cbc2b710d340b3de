"""The metrics of a worker with the numbers they have now, in the order of the table."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from service.domain.measures import Distribution
from service.telemetry.metrics import Metric


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One line of the answer."""

    name: str
    labels: dict[str, str]
    value: float


class Family(msgspec.Struct, frozen=True, array_like=True):
    """A metric with its samples."""

    name: str
    kind: str
    says: str
    samples: list[Sample]


def read_families(metrics: Sequence[Metric], parts: Any) -> list[Family]:
    """The metrics of this worker, as they are now."""
    return [
        Family(metric.name, metric.kind, metric.says, list(_samples(metric, metric.read(parts)))) for metric in metrics
    ]


def _samples(metric: Metric, reading: Any) -> Iterable[Sample]:
    for labels, value in _by_labels(metric, reading):
        if isinstance(value, Distribution):
            yield from _distribution(metric.name, labels, value)
        else:
            yield Sample(metric.name, labels, float(value))


def _by_labels(metric: Metric, reading: Any) -> Iterable[tuple[dict[str, str], float | Distribution]]:
    if not metric.labels:
        return [({}, reading)]
    # A copy in one go: what is counted meanwhile may add a row.
    return [
        (dict(zip(metric.labels, (key,) if isinstance(key, str) else key, strict=True)), value)
        for key, value in dict(reading).items()
    ]


def _distribution(name: str, labels: dict[str, str], distribution: Distribution) -> Iterable[Sample]:
    below = 0
    for bound, count in zip((*distribution.bounds, float("inf")), distribution.counts, strict=True):
        below += count
        yield Sample(f"{name}_bucket", labels | {"le": "+Inf" if bound == float("inf") else str(bound)}, below)
    yield Sample(f"{name}_count", labels, below)
    yield Sample(f"{name}_sum", labels, distribution.total)
