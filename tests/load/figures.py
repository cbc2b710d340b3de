"""What is computed of measurements: percentiles, ratios of rounds that ran side by side, and whether a floor holds."""

import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """One round of one side. `value` is what is compared, in the scenario's unit.

    `cpu_share` is what its process took of a core: beside a rate it tells what one answer costs, whoever else was slow.
    """

    value: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_share: float | None = None


class Floor(msgspec.Struct, frozen=True):
    """What a ratio, or a value that has nothing beside it, has to reach."""

    bound: float
    direction: Literal["at least", "at most"] = "at least"

    def holds(self, figure: float) -> bool:
        return figure >= self.bound if self.direction == "at least" else figure <= self.bound


class Spread(msgspec.Struct, frozen=True):
    """A figure over all rounds."""

    median: float
    lowest: float
    highest: float


class Side(msgspec.Struct, frozen=True):
    """All rounds of one side, in order."""

    label: str
    samples: list[Sample]

    @property
    def value(self) -> Spread:
        return spread([sample.value for sample in self.samples])

    @property
    def p50_ms(self) -> float | None:
        return _median([sample.p50_ms for sample in self.samples])

    @property
    def p99_ms(self) -> float | None:
        return _median([sample.p99_ms for sample in self.samples])

    @property
    def cpu_ms(self) -> float | None:
        """Of processor time for each of what `value` counts a second."""
        return _median([None if s.cpu_share is None else 1000 * s.cpu_share / s.value for s in self.samples])


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of the ordered values do not exceed. Raises ValueError when there are none."""
    if not ordered:
        raise ValueError("no values")
    place = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[min(max(place, 1), len(ordered)) - 1]


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def ratio(ours: Side, beside: Side) -> Spread:
    """Round by round: the two sides of a round ran within seconds of each other, so that noise strikes both."""
    pairs = zip(ours.samples, beside.samples, strict=True)
    return spread([a.value / b.value for a, b in pairs])


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
