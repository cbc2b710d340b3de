"""The command: `python -m tests.load.growth`, or some curves by name."""

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from tests.load.bench import Bench, Options, working_folder
from tests.load.figures import Spread, spread
from tests.load.growth import authorize, tree
from tests.load.growth.curve import Curve
from tests.load.growth.plot import draw
from tests.load.runner import interleave
from tests.load.scenarios.scenario import lack_of

_PLOTS = Path(__file__).parents[1] / "plots"


@click.command()
@click.argument("names", nargs=-1, metavar="[CURVE]…")
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=3.0, show_default=True, help="Per point and round.")
@click.option("--connections", default=16, show_default=True)
@click.option("--ledger-rows", default=10_000_000, show_default=True, help="Of the largest ledger.")
@click.option("--plots", default=_PLOTS, type=click.Path(file_okay=False, path_type=Path), help="Folder of the plots.")
def main(names: Sequence[str], rounds: int, seconds: float, connections: int, ledger_rows: int, plots: Path) -> None:
    """Measure how cost grows, and draw it."""
    curves = (*authorize.curves(most_ledger_rows=ledger_rows), *tree.CURVES)
    plots.mkdir(parents=True, exist_ok=True)
    with working_folder() as folder:
        options = Options(folder=folder, rounds=rounds, seconds=seconds, connections=connections)
        for curve in curves:
            if names and curve.name not in names:
                continue
            lack = lack_of(curve.needs)
            if lack is not None:
                click.echo(f"{curve.name}: skipped, {lack}")
                continue
            _draw(curve, options, plots)


def _draw(curve: Curve, options: Options, plots: Path) -> None:
    click.echo(f"{curve.name}: {curve.says} against {curve.x}")
    # A bench of its own: what one curve leaves in the stores is not the next one's.
    folder = options.folder / curve.name
    folder.mkdir(mode=0o711)
    with Bench(msgspec.structs.replace(options, folder=folder)) as bench, curve.points(bench) as points:
        measures = [point.measure for point in points]
        for measure in measures:
            measure.run(options.warm_up_seconds)
        sides = interleave(measures, rounds=options.rounds, seconds=options.seconds, say=lambda _: None)
    ys = [_milliseconds([sample.p50_ms for sample in side.samples]) for side in sides]
    for point, y in zip(points, ys, strict=True):
        click.echo(f"  {point.x:>14,.1f}  {y.median:8.2f} ms ({y.lowest:.2f}–{y.highest:.2f})")
    draw(curve, [point.x for point in points], ys, plots / f"{curve.name}.png")


def _milliseconds(medians: Sequence[float | None]) -> Spread:
    return spread([median for median in medians if median is not None])


if __name__ == "__main__":
    main()
