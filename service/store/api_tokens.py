"""API tokens, by name and by the hash of what is presented."""

from collections.abc import Mapping
from datetime import datetime

import asyncpg
import msgspec

from service.domain.access import ApiToken, Scope
from service.store.postgres import Connection
from service.store.queries import queries


class TokenNameTakenError(Exception):
    """There is a token of this name, maybe a revoked one: names stay with what the audit log says of them."""


async def insert_api_token(
    connection: Connection,
    *,
    token_id: str,
    name: str,
    scope: Scope,
    token_hash: bytes,
    expires_at: datetime | None,
) -> ApiToken:
    """Raises TokenNameTakenError."""
    try:
        row = await queries.insert_api_token(
            connection, token_id=token_id, name=name, scope=scope, token_hash=token_hash, expires_at=expires_at
        )
    except asyncpg.UniqueViolationError as error:
        raise TokenNameTakenError(name) from error
    return _token(row)


async def list_api_tokens(connection: Connection) -> list[ApiToken]:
    """All, oldest first."""
    return [_token(row) async for row in queries.list_api_tokens(connection)]


async def find_api_token_by_hash(connection: Connection, token_hash: bytes) -> ApiToken | None:
    row = await queries.find_api_token_by_hash(connection, token_hash=token_hash)
    return None if row is None else _token(row)


async def revoke_api_token(connection: Connection, name: str) -> ApiToken | None:
    """None when there is no such token that was not revoked yet."""
    row = await queries.revoke_api_token(connection, name=name)
    return None if row is None else _token(row)


def _token(row: Mapping[str, object]) -> ApiToken:
    return msgspec.convert(dict(row), ApiToken)
