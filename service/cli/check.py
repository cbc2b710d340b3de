"""`check`: is this deployment as it must be?"""

from datetime import UTC, datetime

import click

from service.cli.environment import read_settings, run
from service.governance.diagnosis import diagnose
from service.store.migrations import read_migrations


@click.command()
@click.option(
    "--replicas",
    default=1,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="How many of the service there will be, for the sum of their connections.",
)
@click.option("--workers", type=click.IntRange(1, 64), help="Workers of each (default: WORKERS or 1).")
def check(replicas: int, workers: int | None) -> None:
    """Look at the stores and the settings, one line for each check, and say what to do about what is not right.

    Changes nothing. Run it where the service runs, with its environment. Exits with 1 when a check fails.
    """
    settings = read_settings(**({"workers": workers} if workers else {}))
    found = run(diagnose(settings, replicas=replicas, migrations=read_migrations(), clock=lambda: datetime.now(UTC)))
    for finding in found:
        advice = f" → {finding.advice}" if finding.advice else ""
        click.echo(f"{finding.level:<5} {finding.check:<23} {finding.says}{advice}")
    if any(finding.level == "fail" for finding in found):
        raise SystemExit(1)
