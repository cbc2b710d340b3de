"""`migrate`, `demo` and `encryption-key`: what a database gets before the service runs on it."""

from datetime import UTC, datetime

import click

from service.cli.environment import connected, read_settings, run, with_encryption_key
from service.demo.shape import DemoShape
from service.demo.write import DemoAlreadyThereError, DemoSummary, write_demo_tree
from service.domain.sealing import Sealer, new_encryption_key, parse_encryption_key
from service.settings import Settings
from service.store.ledger_days import LedgerBusyError, add_days
from service.store.migrations import MigrationError, migrate as apply_migrations, read_migrations
from service.store.postgres import StoreUnavailableError


@click.command()
def migrate() -> None:
    """Bring the database at DATABASE_URL to this version's schema.

    Safe to run from any number of replicas at once. A changed or missing migration is refused by name.
    """
    settings = read_settings(required=("database_url",))
    try:
        applied = run(_migrate(settings))
    except (MigrationError, LedgerBusyError, StoreUnavailableError) as error:
        raise click.ClickException(str(error)) from error
    for name in applied:
        click.echo(f"applied {name}")
    click.echo("the database is up to date")


@click.command()
@click.option("--customers", default=3, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--teams", default=2, show_default=True, type=click.IntRange(1, 1_000), help="Per customer.")
@click.option("--keys", default=3, show_default=True, type=click.IntRange(1, 10_000), help="Per team.")
@click.option(
    "--seed",
    default=1,
    show_default=True,
    type=click.IntRange(0, 2**31 - 1),
    help="Another seed makes another tree.",
)
def demo(customers: int, teams: int, keys: int, seed: int) -> None:
    """Write a plausible tree, the same for the same seed, into the database at DATABASE_URL."""
    settings = with_encryption_key(read_settings(required=("database_url",)))
    shape = DemoShape(customers=customers, teams=teams, keys=keys, seed=seed)
    try:
        summary = run(_demo(settings, shape))
    except (DemoAlreadyThereError, StoreUnavailableError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"wrote {summary.describe()}")


@click.command("encryption-key")
def encryption_key() -> None:
    """Print a new value for GOVERNANCE_ENCRYPTION_KEY. Keep it: without it no stored secret opens."""
    click.echo(new_encryption_key())


async def _migrate(settings: Settings) -> list[str]:
    async with connected(settings) as connection:
        applied = await apply_migrations(connection, read_migrations())
        await add_days(connection, now=datetime.now(UTC))
        return applied


async def _demo(settings: Settings, shape: DemoShape) -> DemoSummary:
    async with connected(settings) as connection:
        return await write_demo_tree(
            connection,
            shape=shape,
            sealer=Sealer(parse_encryption_key(settings.encryption_key)),
            now=datetime.now(UTC),
            progress=_show_progress,
        )


def _show_progress(table: str, written: int, total: int) -> None:
    click.echo(f"  {table}: {written} of {total}", err=True)
