"""Draw a curve: the median of all rounds, and the range they were in."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.load.figures import Spread
from tests.load.growth.curve import Curve

# Sizes that span more than this are drawn on a logarithmic axis.
_LINEAR_SPAN = 100


def draw(curve: Curve, xs: Sequence[float], ys: Sequence[Spread], path: Path) -> None:
    mpl.rcParams["svg.hashsalt"] = curve.name
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(xs, [y.median for y in ys], marker="o", color="#20639b")
    axes.fill_between(xs, [y.lowest for y in ys], [y.highest for y in ys], color="#20639b", alpha=0.2, linewidth=0)
    if max(xs) > _LINEAR_SPAN * max(min(xs), 1):
        axes.set_xscale("symlog" if min(xs) == 0 else "log")
    axes.set_ylim(bottom=0)
    axes.set_title(curve.says, fontsize=10)
    axes.set_xlabel(curve.x)
    axes.set_ylabel("median time, ms")
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=110)
