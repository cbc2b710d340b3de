"""The text of /metrics, read as Prometheus reads it."""

from prometheus_client.parser import text_string_to_metric_families

Series = dict[str, dict[frozenset[tuple[str, str]], float]]


def parse(text: str) -> Series:
    """Values by sample name and labels; raises ValueError when a series is there twice."""
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = frozenset(sample.labels.items())
            if labels in found.setdefault(sample.name, {}):
                raise ValueError(f"{sample.name}{dict(labels)} is there twice")
            found[sample.name][labels] = sample.value
    return found


def total(series: Series, name: str, **labels: str) -> float:
    """The sum over all that have these labels, as `sum(name{…})` has it."""
    wanted = set(labels.items())
    return sum(value for found, value in series.get(name, {}).items() if wanted <= found)
