"""`token create`, `list` and `revoke`: the keys to the API's door."""

from datetime import UTC, datetime
from typing import get_args

import click

from service.cli.environment import connected, read_settings, run, with_encryption_key
from service.domain.access import ApiToken, Scope
from service.domain.sealing import Sealer, parse_encryption_key
from service.governance.access import IssuedToken, create_token, revoke_token
from service.settings import Settings
from service.store.api_tokens import TokenNameTakenError, list_api_tokens
from service.store.postgres import StoreUnavailableError

_ACTOR = "command line"


@click.group()
def token() -> None:
    """Make, list and revoke API tokens."""


@token.command("create")
@click.option("--name", required=True, help="What the audit log calls its bearer; never used again.")
@click.option(
    "--scope",
    required=True,
    type=click.Choice(get_args(Scope)),
    help="read: sees, with key values masked; admin: sees and changes; gateway: asks and reports usage.",
)
@click.option("--expires", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="When it ends, in UTC.")
def create(name: str, scope: Scope, expires: datetime | None) -> None:
    """Make a token and show it, this once."""
    settings = with_encryption_key(read_settings(required=("database_url",)))
    if not name.isprintable() or not 1 <= len(name) <= 255:
        raise click.BadParameter("must be 1 to 255 printable characters", param_hint="--name")
    expires_at = None if expires is None else expires.replace(tzinfo=UTC)
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise click.BadParameter("must be in the future", param_hint="--expires")
    try:
        issued = run(_create_token(settings, name=name, scope=scope, expires_at=expires_at))
    except TokenNameTakenError as error:
        raise click.ClickException(f"there is, or was, a token named {name!r}") from error
    except StoreUnavailableError as error:
        raise click.ClickException(str(error)) from error
    click.echo("This token is shown once; keep it where your secrets are.", err=True)
    click.echo(issued.value)


@token.command("list")
def list_() -> None:
    """Show every token's name, scope and state; never its value."""
    settings = read_settings(required=("database_url",))
    try:
        tokens = run(_list_tokens(settings))
    except StoreUnavailableError as error:
        raise click.ClickException(str(error)) from error
    for listed in tokens:
        ends = "" if listed.expires_at is None else f"  expires {listed.expires_at:%Y-%m-%d %H:%M} UTC"
        click.echo(f"{listed.name:<32} {listed.scope:<8} {listed.state(datetime.now(UTC)):<8}{ends}".rstrip())


@token.command("revoke")
@click.argument("name")
def revoke(name: str) -> None:
    """End a token, for good: within a second nobody gets in with it."""
    settings = read_settings(required=("database_url",))
    try:
        revoked = run(_revoke_token(settings, name))
    except StoreUnavailableError as error:
        raise click.ClickException(str(error)) from error
    if revoked is None:
        raise click.ClickException(f"there is no token named {name!r} that was not revoked before")
    click.echo(f"revoked {name}")


async def _create_token(settings: Settings, *, name: str, scope: Scope, expires_at: datetime | None) -> IssuedToken:
    sealer = Sealer(parse_encryption_key(settings.encryption_key))
    async with connected(settings) as connection:
        return await create_token(connection, sealer, name=name, scope=scope, expires_at=expires_at, actor=_ACTOR)


async def _list_tokens(settings: Settings) -> list[ApiToken]:
    async with connected(settings) as connection:
        return await list_api_tokens(connection)


async def _revoke_token(settings: Settings, name: str) -> ApiToken | None:
    async with connected(settings) as connection:
        return await revoke_token(connection, name=name, actor=_ACTOR)
