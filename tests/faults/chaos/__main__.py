"""`python -m tests.faults.chaos`: exit code 1 when something did not hold."""

import asyncio

import click

from tests.faults.chaos.plan import make_plan
from tests.faults.chaos.run import run

_MOST_SHOWN = 20


@click.command()
@click.option("--seed", default=1, show_default=True, help="Decides the plan and what gateways ask for.")
@click.option("--seconds", default=20.0, show_default=True, help="How long everything is struck.")
@click.option("--workers", default=3, show_default=True, type=click.IntRange(1, 64), help="Worker processes.")
def main(seed: int, seconds: float, workers: int) -> None:
    """Strike workers, Redis, Postgres and the configuration while calls are under way, then read the books."""
    plan = make_plan(seed, seconds)
    click.echo(f"seed {seed}, {seconds:g} s, {workers} workers")
    for planned in sorted((each for hand in plan for each in hand), key=lambda each: each.at_seconds):
        click.echo(planned)
    outcome = asyncio.run(run(plan, seed=seed, seconds=seconds, workers=workers))
    for name, count in outcome.figures.items():
        click.echo(f"{count:>16,}  {name}")
    for violation in outcome.violations[:_MOST_SHOWN]:
        click.echo(f"VIOLATED: {violation}")
    if outcome.violations:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
