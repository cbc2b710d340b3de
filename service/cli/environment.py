"""What every subcommand needs: the settings, the encryption key, a connection, an event loop."""

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import uvloop

from service.encryption_key import EncryptionKeyError, encryption_key_file, load_encryption_key
from service.settings import Settings, SettingsError, load_settings
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
    """The environment's, or that of a `dev` run here: what is sealed with any other could never be opened again."""
    if settings.encryption_key:
        click.echo("Using the key in GOVERNANCE_ENCRYPTION_KEY.", err=True)
        return settings
    try:
        key = load_encryption_key(STATE_FOLDER)
    except EncryptionKeyError as error:
        click.echo(
            f"GOVERNANCE_ENCRYPTION_KEY is not set, and no `governance dev` left one here ({error}). Set the key the "
            "service runs with; for a new service, `governance encryption-key` makes one.",
            err=True,
        )
        raise SystemExit(2) from error
    click.echo(f"Using the key in {encryption_key_file(STATE_FOLDER)}.", err=True)
    return msgspec.structs.replace(settings, encryption_key=key)


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
