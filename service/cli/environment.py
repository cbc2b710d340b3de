"""What every subcommand needs: the settings, the encryption key, a connection, an event loop."""

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import uvloop

from service.encryption_key import EncryptionKeyError, load_or_make_encryption_key
from service.settings import Settings, SettingsError, is_loopback, load_settings
from service.store.postgres import Connection, connect, translated_failures

STATE_FOLDER = Path(".governance")
T = TypeVar("T")


def read_settings(**given: Any) -> Settings:
    try:
        return load_settings(**given)
    except SettingsError as error:
        click.echo(f"{error}\n\nSee `governance --help` for all settings.", err=True)
        raise SystemExit(2) from error


def with_encryption_key(settings: Settings) -> Settings:
    """On a loopback address a key may come from the state folder; what others can reach is given its key."""
    if settings.encryption_key:
        return settings
    if not is_loopback(settings.host):
        click.echo(
            f"GOVERNANCE_ENCRYPTION_KEY is not set and HOST={settings.host} is reachable by others. "
            "Make a key with `governance encryption-key` and keep it where your secrets are.",
            err=True,
        )
        raise SystemExit(2)
    click.echo(f"GOVERNANCE_ENCRYPTION_KEY is not set: using {STATE_FOLDER / 'encryption.key'}", err=True)
    try:
        return msgspec.structs.replace(settings, encryption_key=load_or_make_encryption_key(STATE_FOLDER))
    except EncryptionKeyError as error:
        raise click.ClickException(str(error)) from error


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Connection]:
    connection = await connect(settings.database_url)
    try:
        with translated_failures():
            yield connection
    finally:
        await connection.close()


def run(main_coroutine: Coroutine[Any, Any, T]) -> T:
    return uvloop.run(main_coroutine)
