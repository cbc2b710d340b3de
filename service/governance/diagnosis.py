"""`governance check`: look at a deployment from where the service would run, and say what is not as it must be."""

from collections.abc import Callable, Sequence
from datetime import datetime

from service.counters.client import CountersUnavailableError
from service.counters.deployment import find_redis_facts
from service.domain.deployment import (
    Finding,
    Opened,
    Pools,
    check_encryption_key,
    check_migrations,
    check_postgres,
    check_redis,
    check_tokens,
)
from service.domain.sealing import (
    NotOpenedError,
    Sealer,
    parse_encryption_key,
    sealed_mcp_client,
    sealed_provider_key,
    sealed_virtual_key,
)
from service.settings import Settings, is_loopback
from service.store.api_tokens import list_api_tokens
from service.store.deployment import SealedSecret, find_postgres_facts, list_some_sealed_secrets
from service.store.migrations import Migration, missing_migrations, unknown_migrations
from service.store.postgres import Connection, StoreUnavailableError, connect, translated_failures

_BELONGS_TO: dict[str, Callable[[str], str]] = {
    "virtual_key": sealed_virtual_key,
    "provider_key": sealed_provider_key,
    "mcp_client": lambda mcp_client_id: sealed_mcp_client(int(mcp_client_id)),
}


async def diagnose(
    settings: Settings, *, replicas: int, migrations: Sequence[Migration], clock: Callable[[], datetime]
) -> list[Finding]:
    """Every check, in order; what a store that does not answer would tell is left out."""
    return [
        *await _of_postgres(settings, replicas, migrations, clock),
        *await _of_redis(settings, replicas, clock),
    ]


async def _of_postgres(
    settings: Settings, replicas: int, migrations: Sequence[Migration], clock: Callable[[], datetime]
) -> list[Finding]:
    found: list[Finding] = []
    try:
        with translated_failures():
            connection = await connect(settings.database_url)
            try:
                found.append(Finding("ok", "postgres", "answers"))
                pools = Pools(settings.workers, replicas, settings.database_pool_size)
                found += check_postgres(await find_postgres_facts(connection, clock), pools)
                found += await _of_content(connection, settings, migrations, clock)
            finally:
                await connection.close()
    except StoreUnavailableError as error:
        found.append(_postgres_failed(error, answered=bool(found)))
    return found


def _postgres_failed(error: StoreUnavailableError, *, answered: bool) -> Finding:
    if answered:
        return Finding("fail", "database", str(error), "is it the database of this service, and of this user?")
    return Finding("fail", "postgres", str(error), "is DATABASE_URL right, and reachable from here?")


async def _of_content(
    connection: Connection, settings: Settings, migrations: Sequence[Migration], clock: Callable[[], datetime]
) -> list[Finding]:
    missing = await missing_migrations(connection, migrations)
    found = [check_migrations(missing, await unknown_migrations(connection, migrations))]
    if missing:
        return found
    tokens = await list_api_tokens(connection)
    return [
        *found,
        _encryption_key(settings, await list_some_sealed_secrets(connection)),
        check_tokens(
            tokens,
            asked_for=settings.asks_for_tokens,
            has_admin_token=bool(settings.admin_token),
            is_loopback=is_loopback(settings.host),
            now=clock(),
        ),
    ]


def _encryption_key(settings: Settings, secrets: Sequence[SealedSecret]) -> Finding:
    if not settings.encryption_key:
        advice = "set it to the key the service runs with; `governance encryption-key` makes one for a new service"
        return Finding("fail", "encryption key", "GOVERNANCE_ENCRYPTION_KEY is not set", advice)
    sealer = Sealer(parse_encryption_key(settings.encryption_key))
    return check_encryption_key(Opened(sum(_opens(sealer, secret) for secret in secrets), len(secrets)))


def _opens(sealer: Sealer, secret: SealedSecret) -> bool:
    try:
        sealer.open(secret.sealed, belongs_to=_BELONGS_TO[secret.kind](secret.id))
    except NotOpenedError:
        return False
    return True


async def _of_redis(settings: Settings, replicas: int, clock: Callable[[], datetime]) -> list[Finding]:
    try:
        facts = await find_redis_facts(settings.redis_url, clock)
    except CountersUnavailableError as error:
        return [Finding("fail", "redis", str(error), "is REDIS_URL right, and reachable from here?")]
    pools = Pools(settings.workers, replicas, settings.redis_pool_size)
    return [Finding("ok", "redis", "answers"), *check_redis(facts, pools)]
