"""`maintain`: what the service also does in the background, now."""

from datetime import UTC, datetime

import click

from service.cli.environment import read_settings, run, with_encryption_key
from service.domain.sealing import Sealer, parse_encryption_key
from service.governance.changes.run import Changes
from service.governance.maintenance.run import Outcome, Plan, maintain as run_maintenance
from service.governance.maintenance.work import Retention, Step
from service.settings import Settings
from service.store.maintenance import MaintenanceError
from service.store.postgres import StoreUnavailableError, open_store


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
def maintain(dry_run: bool) -> None:
    """Make the ledger's partitions of the days ahead, and delete what is older than it is kept.

    The service does the same in the background. Safe to run at any time and again; one runs at a time.
    """
    settings = with_encryption_key(read_settings(required=("database_url",)))
    try:
        outcome = run(_maintain(settings, dry_run=dry_run))
    except (StoreUnavailableError, MaintenanceError) as error:
        raise click.ClickException(str(error)) from error
    if outcome.skipped:
        click.echo("nothing was done: maintenance is under way elsewhere")
    elif not outcome.steps and not outcome.failed:
        click.echo("there is nothing to do")
    if outcome.failed:
        raise click.ClickException("some of it is left to do: " + "; ".join(outcome.failed))


async def _maintain(settings: Settings, *, dry_run: bool) -> Outcome:
    store = await open_store(settings)
    changes = Changes(store, sealer=Sealer(parse_encryption_key(settings.encryption_key)), clock=_now)
    plan = Plan(
        now=_now(),
        retention=Retention(settings.ledger_retention, settings.idempotency_days),
        dry_run=dry_run,
        tell=_show_planned if dry_run else _show_done,
        progress=_show_progress,
    )
    try:
        return await run_maintenance(settings.database_url, changes, plan)
    finally:
        await store.close()


def _now() -> datetime:
    return datetime.now(UTC)


def _show_planned(step: Step) -> None:
    click.echo(step.planned())


def _show_done(step: Step) -> None:
    click.echo(step.done())


def _show_progress(what: str, number: int) -> None:
    click.echo(f"  {what}: {number}", err=True)
