"""API tokens: made once, shown once, and looked up by a keyed hash of what is presented."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import msgspec

from service.domain.access import BOOTSTRAP, ApiToken, Principal, Scope
from service.domain.sealing import Sealer
from service.store.api_tokens import find_api_token_by_hash, insert_api_token, revoke_api_token
from service.store.audit import AuditEntry, insert_audit_entry
from service.store.postgres import Connection, Store, StoreUnavailableError

TOKEN_PREFIX = "gov_"  # noqa: S105  # a prefix, so that scanners know a leaked token

# A revocation is in force everywhere after this long.
_TRUSTED_FOR = timedelta(seconds=1)
_MOST_REMEMBERED = 10_000


class IssuedToken(msgspec.Struct, frozen=True):
    """`value` is shown to its maker now and never again."""

    token: ApiToken
    value: str


async def create_token(
    connection: Connection, sealer: Sealer, *, name: str, scope: Scope, expires_at: datetime | None, actor: str
) -> IssuedToken:
    """Make a token, and say so in the audit log. Raises TokenNameTakenError."""
    value = TOKEN_PREFIX + secrets.token_urlsafe(32)
    async with connection.transaction():
        token = await insert_api_token(
            connection,
            token_id=str(uuid4()),
            name=name,
            scope=scope,
            token_hash=sealer.hash_api_token(value),
            expires_at=expires_at,
        )
        changes = {"name": [None, name], "scope": [None, scope], "expires_at": [None, expires_at]}
        await insert_audit_entry(connection, _entry(actor, "create", token, changes))
    return IssuedToken(token, value)


async def revoke_token(connection: Connection, *, name: str, actor: str) -> ApiToken | None:
    """Revoke for good, and say so in the audit log; None when there is no such token in force."""
    async with connection.transaction():
        token = await revoke_api_token(connection, name)
        if token is not None:
            await insert_audit_entry(
                connection, _entry(actor, "revoke", token, {"revoked_at": [None, token.revoked_at]})
            )
    return token


class Gatekeeper:
    """Tells who presents a token.

    What Postgres said is trusted for a second; when it does not answer, what it said last holds, so that an outage of
    Postgres does not lock the gateways out.
    """

    def __init__(self, store: Store, sealer: Sealer, *, admin_token: str, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._sealer = sealer
        self._admin_hash = sealer.hash_api_token(admin_token) if admin_token else None
        self._clock = clock
        self._remembered: OrderedDict[bytes, tuple[datetime, ApiToken]] = OrderedDict()

    async def identify(self, presented: str) -> Principal | None:
        """None for a token that is unknown, expired or revoked. Raises StoreUnavailableError."""
        token_hash = self._sealer.hash_api_token(presented)
        # Both are keyed hashes: how long the comparison takes tells nothing of the token.
        if self._admin_hash is not None and secrets.compare_digest(token_hash, self._admin_hash):
            return BOOTSTRAP
        token = await self._find(token_hash)
        if token is None or token.state(self._clock()) != "active":
            return None
        return Principal(token.name, token.scope)

    async def _find(self, token_hash: bytes) -> ApiToken | None:
        now = self._clock()
        asked_at, token = self._remembered.get(token_hash, (None, None))
        if asked_at is not None and abs(now - asked_at) < _TRUSTED_FOR:
            return token
        try:
            async with self._store.connection() as connection:
                token = await find_api_token_by_hash(connection, token_hash)
        except StoreUnavailableError:
            if token is None:
                raise
            return token
        self._remember(token_hash, now, token)
        return token

    def _remember(self, token_hash: bytes, now: datetime, token: ApiToken | None) -> None:
        """Only what exists: a flood of wrong tokens must not push the right ones out."""
        self._remembered.pop(token_hash, None)
        if token is None:
            return
        self._remembered[token_hash] = (now, token)
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)


def _entry(actor: str, verb: str, token: ApiToken, changes: dict[str, object]) -> AuditEntry:
    return AuditEntry(
        actor=actor, action=f"api_token.{verb}", entity_type="api_token", entity_id=token.id, changes=changes
    )
