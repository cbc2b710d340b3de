"""`import` and `export`: the configuration as a file, in the layout of Bifrost's config.json."""

import os
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, get_args

import click

from service.cli.environment import connected, read_settings, run, with_encryption_key
from service.domain.config_file.findings import FaultyFileError, Finding
from service.domain.config_file.read import LARGEST_FILE_BYTES, ConfigFile, Mode, read_config_file
from service.domain.sealing import Sealer, parse_encryption_key
from service.governance.config_file.export import Exported, export_config
from service.governance.config_file.load import import_config
from service.governance.config_file.outcome import Outcome
from service.settings import Settings
from service.store.postgres import StoreUnavailableError
from service.store.refusals import ConcurrentChangeError


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option(
    "--mode",
    type=click.Choice(get_args(Mode)),
    help="split: what is not in FILE stays, and an entry that did not change is left alone; source-of-truth: all "
    "sections of FILE are as it has them. (Default: what FILE says, or split.)",
)
def import_(file: IO[bytes], dry_run: bool, mode: Mode | None) -> None:
    """Import configuration from FILE, in the layout of Bifrost's config.json; `-` is standard input.

    All of it or nothing; usage stays. What changed is listed. Safe to run again.
    """
    settings = with_encryption_key(read_settings(required=("database_url",)))
    try:
        # One byte more than may be: what is read is refused for its size, never the rest of it read.
        content = file.read(LARGEST_FILE_BYTES + 1)
        read = read_config_file(content, environment=os.environ, mode=mode)
        outcome = run(_import(settings, read, dry_run=dry_run))
    except FaultyFileError as error:
        _show_findings("warning", error.findings.warnings)
        _show_findings("fault", error.findings.faults)
        raise click.ClickException(f"nothing was changed: {_count(error.findings.faults, 'fault')}") from error
    except ConcurrentChangeError as error:
        raise click.ClickException("nothing was changed: another change was in the way; run it again") from error
    except (StoreUnavailableError, OSError) as error:
        raise click.ClickException(str(error)) from error
    _show_outcome(outcome, dry_run=dry_run)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--with-values", is_flag=True, help="With the values of virtual keys and provider keys, in clear.")
def export(file: Path | None, with_values: bool) -> None:
    """Write the whole configuration to FILE, or to standard output, as `import` reads it."""
    settings = with_encryption_key(read_settings(required=("database_url",)))
    if with_values:
        click.echo("The secrets of all keys are in what is written, in clear.", err=True)
    try:
        exported = run(_export(settings, with_values=with_values))
        if file is None:
            click.echo(exported.content, nl=False)
        else:
            _write(file, exported.content)
    except (StoreUnavailableError, OSError) as error:
        raise click.ClickException(str(error)) from error
    for kind, number in exported.left_out.items():
        click.echo(f"without the secrets of {number} {kind.replace('_', ' ')}s", err=True)


async def _import(settings: Settings, read: ConfigFile, *, dry_run: bool) -> Outcome:
    sealer = Sealer(parse_encryption_key(settings.encryption_key))
    async with connected(settings) as connection:
        return await import_config(connection, read, sealer=sealer, now=datetime.now(UTC), dry_run=dry_run)


async def _export(settings: Settings, *, with_values: bool) -> Exported:
    sealer = Sealer(parse_encryption_key(settings.encryption_key))
    async with connected(settings) as connection:
        return await export_config(connection, sealer, with_values=with_values)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, readable by its owner only."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:  # mode 0600
        try:
            file.write(content)
            file.flush()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise


def _show_outcome(outcome: Outcome, *, dry_run: bool) -> None:
    _show_findings("warning", outcome.warnings)
    for line in outcome.lines:
        click.echo(str(line))
    done = "would be " if dry_run else ""
    click.echo(
        f"{done}created {outcome.count('+')}, changed {outcome.count('~')}, deleted {outcome.count('-')}, "
        f"unchanged {outcome.unchanged}, warnings {len(outcome.warnings)}"
    )


def _show_findings(word: str, findings: Iterable[Finding]) -> None:
    for finding in findings:
        click.echo(f"{word}: {finding}", err=True)


def _count(findings: list[Finding], word: str) -> str:
    return f"1 {word}" if len(findings) == 1 else f"{len(findings)} {word}s"
