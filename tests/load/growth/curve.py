"""What a curve is: the same measurement at several sizes of one thing."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import msgspec

from tests.load.bench import Bench
from tests.load.scenarios.scenario import Measure


class Point(msgspec.Struct, frozen=True):
    """A place on the x axis, ready to be measured."""

    x: float
    measure: Measure


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """`points` starts all sizes side by side, so that they are measured in turn. The y axis is p50."""

    name: str
    says: str
    x: str
    needs: Sequence[str] = ()
    points: Callable[[Bench], AbstractContextManager[Sequence[Point]]]
