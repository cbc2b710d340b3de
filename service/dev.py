"""`governance dev`: its own real Postgres and Valkey, migrated, with a demo tree, and the service on top."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from service.demo.shape import DemoShape
from service.demo.write import write_demo_tree
from service.domain.sealing import Sealer, parse_encryption_key
from service.embedded.servers import (
    EmbeddedPostgres,
    EmbeddedServer,
    EmbeddedServerError,
    EmbeddedValkey,
)
from service.embedded.state import StateFolderBusy, hold_state_folder
from service.encryption_key import EncryptionKeyError, load_or_make_encryption_key
from service.settings import Settings, SettingsError, load_settings
from service.store.customers import PageQuery, find_customer_page
from service.store.ledger_days import LedgerBusyError, add_days
from service.store.migrations import MigrationError, migrate, read_migrations
from service.store.postgres import connect
from service.supervisor import PortInUseError, check_port, stop_on_signal, supervise
from service.telemetry.logs import configure_logs

Say = Callable[[str], None]


class DevError(Exception):
    """Something the user can mend; the message says what."""


async def run_dev(*, port: int, folder: Path, workers: int, say: Say) -> None:
    """Run until Ctrl-C or SIGTERM; then stop the workers, Valkey and Postgres, in that order. Raises DevError."""
    try:
        with hold_state_folder(folder) as held:
            await _run(port=port, folder=held, workers=workers, say=say)
    except (
        StateFolderBusy,
        EmbeddedServerError,
        EncryptionKeyError,
        LedgerBusyError,
        MigrationError,
        PortInUseError,
        SettingsError,
    ) as error:
        raise DevError(str(error)) from error


async def _run(*, port: int, folder: Path, workers: int, say: Say) -> None:
    configure_logs("console", "info")
    stop = asyncio.Event()
    stop_on_signal(stop)
    postgres, valkey = EmbeddedPostgres(folder), EmbeddedValkey(folder)
    settings = load_settings(
        database_url=postgres.url,
        redis_url=valkey.url,
        host="127.0.0.1",
        port=port,
        workers=workers,
        drain_seconds=0,
        auth="off",  # on the loopback address only
        encryption_key=load_or_make_encryption_key(folder),
    )
    check_port(settings)
    say(f"Starting Postgres and Valkey in {folder}")
    async with AsyncExitStack() as servers:
        for server in (postgres, valkey):
            servers.push_async_callback(server.stop)
        await asyncio.gather(postgres.start(), valkey.start())
        await _prepare_database(settings, say)
        say(_banner(settings, postgres, valkey))
        try:
            async with asyncio.TaskGroup() as group:
                for server in (postgres, valkey):
                    group.create_task(_keep_running(server, stop, say), name=server.name)
                group.create_task(supervise(settings, stop), name="workers")
        except* (EmbeddedServerError, PortInUseError) as failed:
            raise DevError("\n".join(map(str, failed.exceptions))) from None
        say("Stopped.")


async def _prepare_database(settings: Settings, say: Say) -> None:
    connection = await connect(settings.database_url)
    try:
        applied = await migrate(connection, read_migrations())
        if applied:
            say(f"Migrated: {', '.join(applied)}")
        await add_days(connection, now=datetime.now(UTC))
        if (await find_customer_page(connection, PageQuery(limit=1))).total_count:
            return
        summary = await write_demo_tree(
            connection,
            shape=DemoShape(customers=3, teams=2, keys=3),
            sealer=Sealer(parse_encryption_key(settings.encryption_key)),
            now=datetime.now(UTC),
            progress=lambda *_: None,
        )
        say(f"Loaded a demo tree: {summary.describe()}")
    finally:
        await connection.close()


async def _keep_running(server: EmbeddedServer, stop: asyncio.Event, say: Say) -> None:
    """Start a server again that died, as an operator's supervisor would."""
    stopping = asyncio.create_task(stop.wait())
    while not stop.is_set():
        ended = asyncio.create_task(server.exited())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            ended.cancel()
            return
        say(f"{server.name} ended (code {ended.result()}), starting it again")
        await server.start()


def _banner(settings: Settings, postgres: EmbeddedServer, valkey: EmbeddedServer) -> str:
    base = f"http://{settings.host}:{settings.port}"
    return f"""
  {postgres.name:<16} psql '{postgres.url}'
  {valkey.name:<16} {valkey.url}
  {"governance":<16} {base}  ({settings.workers} worker{"s" if settings.workers > 1 else ""})

Try:
  curl {base}/api/governance/customers
  curl '{base}/api/governance/customers?limit=1&search=a'
  curl {base}/health

Ctrl-C stops all of it; the data stays for the next run."""
