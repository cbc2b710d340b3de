"""The table of metrics: names and labels Prometheus takes, and numbers that are what was counted."""

import re

import pytest

from service.domain.measures import SECONDS, Distribution
from service.telemetry.exposition import join_blocks, write_blocks
from service.telemetry.families import Family, Sample, read_families
from service.telemetry.metrics import METRICS, Metric
from tests.exposition import parse, total

SUFFIXES = {"counter": ("_total",), "histogram": ("_seconds", "_events"), "gauge": ("",)}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_by_the_conventions(metric: Metric) -> None:
    assert re.fullmatch(r"governance_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith(SUFFIXES[metric.kind])
    assert metric.kind == "counter" or not metric.name.endswith("_total")
    assert metric.says.endswith(".")
    assert not {"worker", "le", "instance", "job"} & set(metric.labels)


def test_names_are_there_once() -> None:
    names = [metric.name for metric in METRICS]
    assert sorted(set(names)) == sorted(names)


def test_a_distribution_counts_each_value_at_its_bound_and_below_the_next() -> None:
    distribution = Distribution((1, 2, 5))
    for value in (0.5, 1, 1.5, 5, 99):
        distribution.observe(value)
    assert distribution.counts == [2, 1, 1, 1]
    assert distribution.total == pytest.approx(107)


def test_the_bounds_of_seconds_ascend() -> None:
    assert list(SECONDS) == sorted(set(SECONDS))


async def test_a_histogram_is_exposed_cumulated_with_its_count_and_sum() -> None:
    distribution = Distribution((1.0, 2.0))
    for value in (0.5, 1.5, 9):
        distribution.observe(value)
    metrics = (Metric("x_seconds", "histogram", "Of a test.", lambda _: {"a": distribution}, ("by",)),)
    series = parse(join_blocks({1: await write_blocks(read_families(metrics, None), worker=1)}).decode())
    buckets = {bound: total(series, "x_seconds_bucket", le=bound, by="a") for bound in ("1.0", "2.0", "+Inf")}
    assert buckets == {"1.0": 1, "2.0": 2, "+Inf": 3}
    assert total(series, "x_seconds_count", by="a") == 3
    assert total(series, "x_seconds_sum", by="a") == pytest.approx(11)


async def test_workers_are_told_apart_and_one_that_does_not_answer_is_told_of() -> None:
    def family(value: float) -> Family:
        return Family("y_total", "counter", "Of a test.", [Sample("y_total", {}, value)])

    first, third = [await write_blocks([family(value)], worker=number) for number, value in ((1, 3), (3, 4))]
    text = join_blocks({1: first, 2: None, 3: third}).decode()
    series = parse(text)
    assert total(series, "y_total") == 7
    assert total(series, "y_total", worker="3") == 4
    up = {worker: total(series, "governance_worker_up", worker=worker) for worker in "123"}
    assert up == {"1": 1, "2": 0, "3": 1}
    assert text.count("# TYPE y_total counter") == 1
