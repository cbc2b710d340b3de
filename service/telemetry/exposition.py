"""Metrics as Prometheus reads them: those of all workers, each series with the number of its worker."""

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import Metric as PrometheusMetric, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from service.telemetry.metrics import Family, Sample

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
WORKER_UP = "governance_worker_up"
_WORKER_UP_SAYS = "1 when the worker answered for this scrape."

_process = ProcessCollector(registry=None)


def read_process() -> list[Family]:
    """Memory, processor time and open files of this process."""
    return [
        Family(
            _full_name(metric),
            metric.type,
            metric.documentation,
            [Sample(sample.name, dict(sample.labels), sample.value) for sample in metric.samples],
        )
        for metric in _process.collect()
    ]


def expose(workers: Mapping[int, Sequence[Family] | None]) -> bytes:
    """The text; None is a worker that did not answer."""
    return generate_latest(_Merged(workers))


class _Merged(Collector):
    def __init__(self, workers: Mapping[int, Sequence[Family] | None]) -> None:
        self._workers = workers

    def collect(self) -> Iterator[PrometheusMetric]:
        merged: dict[str, PrometheusMetric] = {}
        for number, families in self._workers.items():
            for family in families or ():
                metric = merged.setdefault(family.name, _metric(family.name, family.kind, family.says))
                for sample in family.samples:
                    metric.add_sample(sample.name, {**sample.labels, "worker": str(number)}, sample.value)
        up = merged[WORKER_UP] = _metric(WORKER_UP, "gauge", _WORKER_UP_SAYS)
        for number, families in self._workers.items():
            up.add_sample(WORKER_UP, {"worker": str(number)}, float(families is not None))
        yield from merged.values()


def _metric(name: str, kind: str, says: str) -> PrometheusMetric:
    return PrometheusMetric(name.removesuffix("_total") if kind == "counter" else name, says, kind)


def _full_name(metric: PrometheusMetric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name
