"""The Grafana dashboard and the alert rules ask for metrics and labels that exist, in PromQL that parses."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from service.http.openapi_names import operation_id
from service.http.routes import ROUTES
from service.telemetry.exposition import WORKER_UP, read_process
from service.telemetry.metrics import METRICS

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

# What the scrape adds.
ADDED = {"instance", "job", "worker"}
OPERATIONS = {operation_id(route) for route in ROUTES}
# Grafana puts a duration there.
INTERVAL = "$__rate_interval"


def served() -> dict[str, set[str]]:
    """The labels of every series that /metrics has."""
    found = {WORKER_UP: set[str]()}
    for metric in METRICS:
        if metric.kind == "histogram":
            found |= {f"{metric.name}_{part}": set(metric.labels) for part in ("count", "sum")}
            found[f"{metric.name}_bucket"] = {*metric.labels, "le"}
        else:
            found[metric.name] = set(metric.labels)
    found |= {sample.name: set() for family in read_process() for sample in family.samples}
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """All there are, by where they are."""
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"].replace(INTERVAL, "5m")


def selectors(node: Any) -> Iterator[Any]:
    """Every selector in a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    elif isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector
    else:
        below = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "param")]
        for child in (*below, *(getattr(node, "args", None) or ())):
            if child is not None:
                yield from selectors(child)


@pytest.mark.parametrize(("where", "expression"), list(expressions()), ids=lambda value: value[:40])
def test_an_expression_asks_for_series_and_labels_there_are(where: str, expression: str) -> None:
    metrics = served()
    found = list(selectors(promql_parser.parse(expression)))
    assert found
    for selector in found:
        assert selector.name in metrics, f"{where}: no such series: {selector.name}"
        for matcher in selector.matchers.matchers:
            assert matcher.name in metrics[selector.name] | ADDED, f"{where}: {selector.name} has no {matcher.name}"
            if matcher.name == "operation":
                assert matcher.value in OPERATIONS, f"{where}: no such operation: {matcher.value}"
    labels = set.union(*(metrics[selector.name] for selector in found)) | ADDED
    for grouping in re.findall(r"by \(([^)]*)\)", expression):
        assert set(re.split(r",\s*", grouping)) <= labels, where


def test_every_metric_is_on_the_dashboard() -> None:
    shown = " ".join(expression for _, expression in expressions())
    missing = [metric.name for metric in METRICS if not re.search(rf"\b{metric.name}(_bucket)?\b", shown)]
    assert missing == []


def test_what_a_series_is_called_in_a_legend_is_one_of_its_labels() -> None:
    metrics = served()
    for panel in PANELS:
        for target in panel["targets"]:
            parsed = promql_parser.parse(target["expr"].replace(INTERVAL, "5m"))
            labels = set.union(*(metrics[selector.name] for selector in selectors(parsed))) | ADDED
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels, panel["title"]


def test_an_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            assert rule["alert"].startswith("Governance")
            assert rule["labels"]["severity"] in ("page", "warn")
            assert rule["annotations"].keys() == {"summary", "action"}
            assert rule["for"]


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers)
