"""What the parts of the service count about themselves: plain numbers, cheap to add to, read when somebody asks."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct, field

# From a decision out of memory to an answer nobody waits for any more.
SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class Distribution:
    """How many values fell at or below each bound but above the one before; the last count is of those above all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class RoundTrips(Struct):
    """To one store: how long each took, a failed one too, and how many failed, by what went wrong."""

    seconds: Distribution = field(default_factory=Distribution)
    errors: Counter[str] = field(default_factory=Counter)
