"""Metrics as Prometheus reads them: those of all workers, each series with the number of its worker.

Each worker writes its own lines, so that who answers a scrape of many workers has only to join them.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from prometheus_client import Metric as PrometheusMetric, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from service.telemetry.families import Family, Sample

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
WORKER_UP = "governance_worker_up"
_WORKER_UP_SAYS = "1 when the worker answered for this scrape."

_process = ProcessCollector(registry=None)


class Block(msgspec.Struct, frozen=True, array_like=True):
    """A metric of one worker as text: what says what it is, and its lines."""

    head: bytes
    lines: bytes


def read_process() -> list[Family]:
    """Memory, processor time and open files of this process."""
    return [
        Family(
            f"{metric.name}_total" if metric.type == "counter" else metric.name,
            metric.type,
            metric.documentation,
            [Sample(sample.name, dict(sample.labels), sample.value) for sample in metric.samples],
        )
        for metric in _process.collect()
    ]


async def write_blocks(families: Iterable[Family], *, worker: int) -> list[Block]:
    """One for each family; others have their turn between them."""
    blocks = []
    for family in families:
        blocks.append(_block(family, worker))
        await asyncio.sleep(0)
    return blocks


def join_blocks(workers: Mapping[int, Sequence[Block] | None]) -> bytes:
    """The text of all workers; None is one that did not answer."""
    by_head: dict[bytes, list[bytes]] = {}
    for number, blocks in workers.items():
        up = Sample(WORKER_UP, {}, float(blocks is not None))
        for block in (*(blocks or ()), _block(Family(WORKER_UP, "gauge", _WORKER_UP_SAYS, [up]), number)):
            by_head.setdefault(block.head, []).append(block.lines)
    return b"".join(part for head, lines in by_head.items() for part in (head, *lines))


def _block(family: Family, worker: int) -> Block:
    """Two lines say what it is; what comes after them are its samples."""
    help_line, type_line, lines = generate_latest(_One(family, str(worker))).split(b"\n", 2)
    return Block(b"%s\n%s\n" % (help_line, type_line), lines)


class _One(Collector):
    def __init__(self, family: Family, worker: str) -> None:
        self._family = family
        self._worker = worker

    def collect(self) -> Iterator[PrometheusMetric]:
        family = self._family
        name = family.name.removesuffix("_total") if family.kind == "counter" else family.name
        metric = PrometheusMetric(name, family.says, family.kind)
        for sample in family.samples:
            metric.add_sample(sample.name, {**sample.labels, "worker": self._worker}, sample.value)
        yield metric
