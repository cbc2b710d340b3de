"""`dev` and `serve`: run the service."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from service.cli.environment import STATE_FOLDER, connected, read_settings, run
from service.domain.access import ApiToken
from service.lifecycle import serve as serve_until_stopped
from service.settings import REQUIRED, Settings, is_loopback
from service.store.api_tokens import list_api_tokens
from service.store.postgres import StoreUnavailableError
from service.supervisor import PortInUseError, check_port, stop_on_signal, stop_with_input, supervise
from service.telemetry.logs import configure_logs
from service.telemetry.siblings import Siblings
from service.telemetry.tracing import TracingError, check_tracing

_NEEDED = (*REQUIRED, "encryption_key")


@click.command()
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(1, 65535), help="Port on 127.0.0.1 to serve on."
)
@click.option(
    "--state",
    default=STATE_FOLDER,
    show_default=True,
    help="Folder that keeps the data.",
    type=click.Path(file_okay=False, path_type=Path),
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Worker processes.")
def dev(port: int, state: Path, workers: int) -> None:
    """Run everything here: Postgres, Valkey, a demo tree and the service.

    Data is kept in the state folder between runs. Ctrl-C stops all of it.
    """
    try:
        from service.dev import DevError, run_dev  # noqa: PLC0415  # needs the extra `embedded`
    except ImportError as error:
        raise click.ClickException(f"{error.name} is not installed: pip install 'llm-governance[embedded]'") from error
    _check_tracing()
    try:
        run(run_dev(port=port, folder=state, workers=workers, say=click.echo))
    except DevError as error:
        raise click.ClickException(str(error)) from error


@click.command()
@click.option("--workers", type=click.IntRange(1, 64), help="Worker processes, one per core (default: WORKERS or 1).")
def serve(workers: int | None) -> None:
    """Serve the API against DATABASE_URL and REDIS_URL, with GOVERNANCE_ENCRYPTION_KEY.

    Everyone needs an API token unless GOVERNANCE_AUTH is off.
    """
    settings = read_settings(required=_NEEDED, **({"workers": workers} if workers else {}))
    configure_logs(settings.log_format, settings.log_level)
    _check_tracing()
    _check_that_someone_gets_in(settings)
    stop = asyncio.Event()
    try:
        check_port(settings)
        if settings.workers == 1:
            run(serve_until_stopped(settings, reuse_port=False, stop=stop))
        else:
            run(_supervise_until_signal(settings, stop))
    except PortInUseError as error:
        raise click.ClickException(str(error)) from error


@click.command(hidden=True)
@click.option("--number", required=True, type=int)
@click.option("--siblings", "folder", required=True, type=click.Path(path_type=Path))
def worker(number: int, folder: Path) -> None:
    """One of several workers; started by `serve --workers` and `dev`, stops when its standard input ends."""
    settings = read_settings(required=_NEEDED)
    configure_logs(settings.log_format, settings.log_level)
    run(_work(settings, Siblings(number, settings.workers, folder)))


def _check_that_someone_gets_in(settings: Settings) -> None:
    """Without any token: a warning where only this machine asks, elsewhere the end (exit code 2)."""
    if not settings.asks_for_tokens or settings.admin_token or not _lacks_tokens(settings):
        return
    click.echo(
        "An API token is needed for every request, and there is none. Make the first with `governance token create "
        "--name ops --scope admin`, or set GOVERNANCE_ADMIN_TOKEN; GOVERNANCE_AUTH=off lets everyone do everything.",
        err=True,
    )
    if not is_loopback(settings.host):
        raise SystemExit(2)


def _check_tracing() -> None:
    try:
        check_tracing(os.environ)
    except TracingError as error:
        raise click.ClickException(str(error)) from error


def _lacks_tokens(settings: Settings) -> bool:
    """False when Postgres does not tell: the service starts without it, and asks for tokens all the same."""
    try:
        tokens = run(_list_tokens(settings))
    except StoreUnavailableError:
        return False
    return not any(token.state(datetime.now(UTC)) == "active" for token in tokens)


async def _supervise_until_signal(settings: Settings, stop: asyncio.Event) -> None:
    stop_on_signal(stop)
    await supervise(settings, stop)


async def _work(settings: Settings, siblings: Siblings) -> None:
    stop = asyncio.Event()
    watch = asyncio.create_task(stop_with_input(stop), name="parent")
    await serve_until_stopped(settings, reuse_port=True, stop=stop, siblings=siblings)
    watch.cancel()


async def _list_tokens(settings: Settings) -> list[ApiToken]:
    async with connected(settings) as connection:
        return await list_api_tokens(connection)
