"""`governance check` on real servers: well when they are, and for each that is not, the line that says what to do."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from service.cli import main
from service.domain.deployment import Finding
from service.domain.sealing import Sealer, new_encryption_key, parse_encryption_key
from service.embedded.servers import EmbeddedPostgres, EmbeddedValkey
from service.governance.access import create_token
from service.governance.diagnosis import diagnose
from service.settings import Settings, load_settings, to_environment
from service.store.migrations import migrate, read_migrations
from service.store.postgres import Connection, connect
from tests.api.conftest import closed_port
from tests.conftest import ENCRYPTION_KEY
from tests.factories import Factory

MIGRATIONS = read_migrations()
CHECKS = {
    *("postgres", "postgres version", "postgres role", "postgres durability", "postgres connections", "postgres clock"),
    *("migrations", "encryption key", "API tokens"),
    *("redis", "redis version", "redis role", "redis eviction", "redis memory", "redis append-only file"),
    *("redis connections", "redis clock"),
}


class Servers(msgspec.Struct, frozen=True):
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    settings: Settings

    async def start(self) -> None:
        await asyncio.gather(self.postgres.start(), self.valkey.start())
        connection = await connect(self.settings.database_url)
        await migrate(connection, MIGRATIONS)
        sealer = Sealer(parse_encryption_key(ENCRYPTION_KEY))
        await create_token(connection, sealer, name="ops", scope="admin", expires_at=None, actor="test")
        await Factory(connection, sealer).virtual_key()
        await connection.close()

    async def stop(self) -> None:
        await asyncio.gather(self.postgres.stop(), self.valkey.stop())


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """As a deployment has them: nothing is turned off for speed."""
    with tempfile.TemporaryDirectory(prefix="governance-check-") as folder:
        Path(folder).chmod(0o711)  # Postgres runs as another user when the tests run as root
        state = Path(folder) / "state"
        postgres, valkey = EmbeddedPostgres(state), EmbeddedValkey(state)
        settings = load_settings(
            {}, database_url=postgres.url, redis_url=valkey.url, encryption_key=ENCRYPTION_KEY, host="0.0.0.0"
        )
        servers = Servers(postgres, valkey, settings)
        try:
            asyncio.run(servers.start())
            yield servers
        finally:
            asyncio.run(servers.stop())


@pytest.fixture
async def connection(servers: Servers) -> AsyncIterator[Connection]:
    connection = await connect(servers.settings.database_url)
    yield connection
    await connection.close()


def now() -> datetime:
    return datetime.now(UTC)


async def found(settings: Settings, *, replicas: int = 1, ahead: timedelta = timedelta(0)) -> dict[str, Finding]:
    findings = await diagnose(settings, replicas=replicas, migrations=MIGRATIONS, clock=lambda: now() + ahead)
    return {finding.check: finding for finding in findings}


@asynccontextmanager
async def configured(servers: Servers, **settings: str) -> AsyncIterator[None]:
    """Valkey with these settings meanwhile."""
    from redis.asyncio import Redis

    async with Redis.from_url(servers.valkey.url) as redis:
        before: dict[Any, Any] = {}
        for name in settings:
            before |= await redis.config_get(name)
        for name, value in settings.items():
            await redis.config_set(name, value)
        yield
        for name, value in before.items():
            await redis.config_set(name, value)


async def test_a_deployment_that_is_well_passes_every_check(servers: Servers) -> None:
    findings = await found(servers.settings)
    assert findings.keys() == CHECKS
    assert {check: finding for check, finding in findings.items() if finding.level != "ok"} == {}


def test_the_command_prints_a_line_for_each_check_and_exits_with_0(servers: Servers) -> None:
    result = CliRunner().invoke(main, ["check"], env=to_environment(servers.settings))
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) == len(CHECKS)
    assert all(line.startswith("ok ") for line in result.output.splitlines())


def test_the_command_exits_with_1_when_a_check_fails_and_says_what_to_do(servers: Servers) -> None:
    other = msgspec.structs.replace(servers.settings, encryption_key=new_encryption_key())
    result = CliRunner().invoke(main, ["check"], env=to_environment(other))
    assert result.exit_code == 1
    (failed,) = [line for line in result.output.splitlines() if line.startswith("fail ")]
    assert "opens 0 of 1" in failed
    assert "→ set GOVERNANCE_ENCRYPTION_KEY to the key" in failed
    assert other.encryption_key not in result.output


def test_the_command_takes_the_numbers_of_replicas_and_workers(servers: Servers) -> None:
    environment = to_environment(servers.settings)
    result = CliRunner().invoke(main, ["check", "--replicas", "5", "--workers", "3"], env=environment)
    assert result.exit_code == 1
    assert "8 × 3 workers × 5 replicas = 120" in result.output


def test_the_command_repeats_no_password(servers: Servers) -> None:
    environment = to_environment(servers.settings) | {
        "DATABASE_URL": f"postgresql://me:sesame@127.0.0.1:{closed_port()}/x",
        "REDIS_URL": f"redis://:sesame@127.0.0.1:{closed_port()}/0",
    }
    result = CliRunner().invoke(main, ["check"], env=environment)
    assert result.exit_code == 1
    assert result.output.count("fail ") == 2
    assert "sesame" not in result.output


async def test_pools_that_ask_for_more_connections_than_there_are_fail(servers: Servers) -> None:
    few = await found(servers.settings, replicas=2)
    assert (few["postgres connections"].level, few["redis connections"].level) == ("ok", "ok")
    many = await found(msgspec.structs.replace(servers.settings, workers=4), replicas=50)
    assert many["postgres connections"].level == "fail"
    assert "8 × 4 workers × 50 replicas = 1600" in many["postgres connections"].says
    assert "GOVERNANCE_DATABASE_POOL_SIZE" in many["postgres connections"].advice


async def test_a_limit_of_the_user_or_the_database_counts(servers: Servers, connection: Connection) -> None:
    await connection.execute("ALTER ROLE postgres CONNECTION LIMIT 7")
    assert "room for 7" in (await found(servers.settings))["postgres connections"].says
    await connection.execute("ALTER ROLE postgres CONNECTION LIMIT -1")


async def test_connections_of_others_are_not_ours(servers: Servers) -> None:
    import asyncpg

    async def room() -> int:
        return int((await found(servers.settings))["postgres connections"].says.rpartition(" ")[2])

    before = await room()
    other = await asyncpg.connect(servers.settings.database_url)
    assert await room() == before - 1
    await other.close()


@pytest.mark.parametrize(("ahead_seconds", "level"), [(-60, "fail"), (-1, "warn"), (1, "warn"), (60, "fail")])
async def test_a_clock_that_is_wrong_is_told(servers: Servers, ahead_seconds: float, level: str) -> None:
    findings = await found(servers.settings, ahead=timedelta(seconds=ahead_seconds))
    # When this machine is ahead, the servers are behind it.
    direction = "behind" if ahead_seconds > 0 else "ahead of"
    for check in ("postgres clock", "redis clock"):
        assert findings[check].level == level
        assert direction in findings[check].says


async def test_a_migration_that_is_missing_fails_by_name(servers: Servers, connection: Connection) -> None:
    last = MIGRATIONS[-1]
    await connection.execute("DELETE FROM schema_migrations WHERE version = $1", last.version)
    finding = (await found(servers.settings))["migrations"]
    await connection.execute("INSERT INTO schema_migrations VALUES ($1, $2, $3)", last.version, last.name, last.sha256)
    assert finding.level == "fail"
    assert last.name in finding.says
    assert finding.advice == "run `governance migrate`"


async def test_a_database_without_any_migration_fails_and_says_so(servers: Servers, connection: Connection) -> None:
    await connection.execute("CREATE DATABASE bare")
    bare = msgspec.structs.replace(
        servers.settings, database_url=servers.settings.database_url.replace("/governance?", "/bare?")
    )
    findings = await found(bare)
    await connection.execute("DROP DATABASE bare")
    assert findings["database"].level == "fail"
    assert "governance migrate" in findings["database"].says


async def test_a_secret_that_does_not_open_is_warned_of(servers: Servers, connection: Connection) -> None:
    sealer = Sealer(parse_encryption_key(new_encryption_key()))
    damaged = await Factory(connection, sealer).virtual_key(id="sealed-with-another-key", name="another")
    finding = (await found(servers.settings))["encryption key"]
    await connection.execute("DELETE FROM virtual_keys WHERE id = $1", damaged)
    assert (finding.level, finding.says) == ("warn", "opens 1 of 2 stored secrets looked at")


async def test_without_an_encryption_key_it_fails(servers: Servers) -> None:
    finding = (await found(msgspec.structs.replace(servers.settings, encryption_key="")))["encryption key"]
    assert finding.level == "fail"
    assert "`governance encryption-key`" in finding.advice


async def test_nobody_who_gets_in_is_a_fault_and_everybody_a_warning(servers: Servers, connection: Connection) -> None:
    await connection.execute("UPDATE api_tokens SET revoked_at = now()")
    nobody = (await found(servers.settings))["API tokens"]
    by_setting = await found(msgspec.structs.replace(servers.settings, admin_token="x" * 32))
    everybody = await found(msgspec.structs.replace(servers.settings, auth="off"))
    on_loopback = await found(msgspec.structs.replace(servers.settings, auth="off", host="127.0.0.1"))
    await connection.execute("UPDATE api_tokens SET revoked_at = NULL")
    assert nobody.level == "fail"
    assert "governance token create" in nobody.advice
    levels = [findings["API tokens"].level for findings in (by_setting, everybody, on_loopback)]
    assert levels == ["ok", "warn", "ok"]


async def test_a_redis_that_evicts_fails(servers: Servers) -> None:
    async with configured(servers, **{"maxmemory-policy": "allkeys-lru"}):
        assert (await found(servers.settings))["redis eviction"].level == "warn"
        async with configured(servers, maxmemory="100mb"):
            assert (await found(servers.settings))["redis eviction"].level == "fail"
    async with configured(servers, maxmemory="1mb"):
        assert (await found(servers.settings))["redis memory"].level == "warn"


async def test_a_redis_that_keeps_no_file_is_warned_of(servers: Servers) -> None:
    async with configured(servers, appendonly="no"):
        finding = (await found(servers.settings))["redis append-only file"]
    assert finding.level == "warn"
    assert "appendonly yes" in finding.advice


async def test_a_replica_of_redis_fails(servers: Servers) -> None:
    from redis.asyncio import Redis

    async with Redis.from_url(servers.valkey.url) as redis:
        await redis.replicaof("127.0.0.1", str(closed_port()))
        finding = (await found(servers.settings))["redis role"]
        await redis.replicaof("NO", "ONE")
    assert finding.level == "fail"


async def test_a_redis_that_asks_for_a_password_is_told_apart_from_one_that_is_not_there(servers: Servers) -> None:
    async with configured(servers, requirepass="sesame"):
        refused = (await found(servers.settings))["redis"]
    assert (refused.level, refused.says) == ("fail", "refuses the user or the password of REDIS_URL")


async def test_a_store_that_is_not_there_fails_and_the_other_is_looked_at(servers: Servers) -> None:
    nowhere = closed_port()
    no_redis = await found(msgspec.structs.replace(servers.settings, redis_url=f"redis://127.0.0.1:{nowhere}/0"))
    assert no_redis["redis"].level == "fail"
    assert no_redis["postgres connections"].level == "ok"
    no_postgres = await found(
        msgspec.structs.replace(servers.settings, database_url=f"postgresql://x@127.0.0.1:{nowhere}/x")
    )
    assert no_postgres["postgres"].level == "fail"
    assert no_postgres["redis eviction"].level == "ok"


async def test_a_postgres_that_may_lose_what_it_acknowledged_fails(servers: Servers, connection: Connection) -> None:
    await connection.execute("ALTER ROLE postgres SET synchronous_commit = off")
    finding = (await found(servers.settings))["postgres durability"]
    await connection.execute("ALTER ROLE postgres RESET synchronous_commit")
    assert finding.level == "fail"
