"""`prices import` and `prices list`: what models cost, as usage without a cost of its own is priced."""

from collections import Counter
from pathlib import Path

import click

from service.cli.environment import connected, read_settings, run
from service.domain.money import nanousd_to_json
from service.domain.price_file import LARGEST_FILE_BYTES, PriceFile, PriceFileError, read_price_file
from service.domain.pricing import ModelPrice
from service.governance.prices import import_prices
from service.settings import Settings
from service.store.postgres import StoreUnavailableError
from service.store.prices import PriceChanges, PriceList, list_model_prices

_ACTOR = "command line"
_MOST_LISTED = 100_000
_EXAMPLES = 3


@click.group()
def prices() -> None:
    """Import and list the prices of models."""


@prices.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
def import_(file: Path, dry_run: bool) -> None:
    """Import FILE, in the layout of model_prices_and_context_window.json.

    All of it or nothing; models that are not in it keep their prices. Safe to run again.
    """
    settings = read_settings(required=("database_url",))
    try:
        read = read_price_file(_content(file))
        click.echo(f"{len(read.prices)} prices to import", err=True)
        changes = run(_import(settings, read, file_name=file.name, dry_run=dry_run))
    except (PriceFileError, StoreUnavailableError) as error:
        raise click.ClickException(str(error)) from error
    for reason, names in _by_reason(read.skipped).items():
        examples = ", ".join(names[:_EXAMPLES]) + (", …" if len(names) > _EXAMPLES else "")
        click.echo(f"skipped {len(names)}: {reason} ({examples})", err=True)
    done = "would be " if dry_run else ""
    click.echo(f"{done}added {changes.added}, changed {changes.changed}, unchanged {changes.unchanged}")
    click.echo(f"skipped {len(read.skipped)}")


@prices.command("list")
@click.option("--provider", help="Only this provider's models.")
@click.option("--search", help="Only models whose name contains this, in any case.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, _MOST_LISTED))
def list_(provider: str | None, search: str | None, limit: int) -> None:
    """Show prices in US dollars per million tokens."""
    settings = read_settings(required=("database_url",))
    try:
        listed = run(_list(settings, provider=provider, search=search, limit=limit))
    except StoreUnavailableError as error:
        raise click.ClickException(str(error)) from error
    for price in listed.prices:
        click.echo(_line(price))
    if listed.total_count > len(listed.prices):
        click.echo(f"{len(listed.prices)} of {listed.total_count}; --limit shows more", err=True)


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            # One byte more than may be: what is read is refused for its size, never the rest of it read.
            return opened.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise PriceFileError(f"{file} cannot be read: {error.strerror}") from error


def _by_reason(skipped: dict[str, str]) -> dict[str, list[str]]:
    reasons = Counter(skipped.values())
    return {reason: [name for name in skipped if skipped[name] == reason] for reason, _ in reasons.most_common()}


def _line(price: ModelPrice) -> str:
    amounts = {
        "input": price.prices.input_nanousd,
        "output": price.prices.output_nanousd,
        "cached input": price.prices.cached_input_nanousd,
        "cache creation": price.prices.cache_creation_nanousd,
        "batch input": price.prices.input_batches_nanousd,
        "batch output": price.prices.output_batches_nanousd,
    }
    shown = [f"{name} {nanousd_to_json(amount).decode()}" for name, amount in amounts.items() if amount is not None]
    return f"{price.provider:<16} {price.model:<48} {price.mode:<12} {', '.join(shown)}".rstrip()


async def _import(settings: Settings, read: PriceFile, *, file_name: str, dry_run: bool) -> PriceChanges:
    async with connected(settings) as connection:
        return await import_prices(connection, read, file_name=file_name, actor=_ACTOR, dry_run=dry_run)


async def _list(settings: Settings, *, provider: str | None, search: str | None, limit: int) -> PriceList:
    async with connected(settings) as connection:
        return await list_model_prices(connection, provider=provider, search=search, limit=limit)
