"""`governance serve` as real processes: killed, drained, refused."""

import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.domain.sealing import Sealer
from service.encryption_key import load_or_make_encryption_key
from service.governance.access import create_token, revoke_token
from service.settings import Settings
from service.store.postgres import Connection
from tests.faults.processes import (
    Finished,
    Running,
    ask,
    free_port,
    governance,
    running,
    wait_for_status,
    wait_until_gone,
)
from tests.waiting import until

# An address that is nobody's (RFC 5737): what would be served there ends where it would listen.
ELSEWHERE = {"HOST": "192.0.2.1"}


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="governance-") as folder:
        yield Path(folder)


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    return {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "GOVERNANCE_ENCRYPTION_KEY": settings.encryption_key,
        "GOVERNANCE_AUTH": "off",
        "PORT": str(free_port()),
    }


@pytest.fixture
async def service(folder: Path, environment: dict[str, str]) -> AsyncIterator[Running]:
    """Two workers that answer and are ready, with a drain of one second."""
    environment["GOVERNANCE_DRAIN_SECONDS"] = "1"
    with running("serve", "--workers", "2", folder=folder, environment=environment) as service:
        await wait_for_status(port_of(environment), "/ready", 200)
        await until_workers(service, number=2)
        yield service


def port_of(environment: dict[str, str]) -> int:
    return int(environment["PORT"])


async def until_workers(service: Running, *, number: int) -> None:
    async def there() -> bool:
        return service.output.count("serving") >= number and len(service.workers()) == 2

    await until(there)


async def test_a_killed_worker_is_started_again_and_the_port_keeps_answering(
    service: Running, environment: dict[str, str]
) -> None:
    killed, other = service.workers()
    killed.send_signal(signal.SIGKILL)
    await wait_until_gone([killed])
    for _ in range(20):
        assert (await ask(port_of(environment), "/health"))[0] == 200
    await until_workers(service, number=3)
    assert other in service.workers()
    assert killed not in service.workers()
    assert (await ask(port_of(environment), "/api/governance/customers"))[0] == 200


async def test_told_to_stop_it_is_not_ready_still_serves_and_leaves_nothing_behind(
    service: Running, environment: dict[str, str]
) -> None:
    family = service.family()
    service.send(signal.SIGTERM)
    await wait_for_status(port_of(environment), "/ready", 503, seconds=0.9)
    assert (await ask(port_of(environment), "/health"))[0] == 200
    assert await service.exit_code() == 0
    await wait_until_gone(family, seconds=1)
    assert "Traceback" not in service.output


async def test_a_killed_supervisor_takes_its_workers_along(service: Running, environment: dict[str, str]) -> None:
    workers = service.workers()
    service.send(signal.SIGKILL)
    await wait_until_gone(workers)
    # Nobody listens there any more.
    with socket.create_server(("127.0.0.1", port_of(environment))) as listening:
        assert listening.getsockname()[1] == port_of(environment)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_named_and_refused(folder: Path, environment: dict[str, str], workers: str) -> None:
    with socket.create_server(("127.0.0.1", port_of(environment))):
        refused = governance("serve", "--workers", workers, folder=folder, environment=environment)
    assert refused.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port_of(environment)}" in refused.output
    assert "Traceback" not in refused.output


def test_every_setting_that_cannot_be_used_is_named_and_none_is_repeated(
    folder: Path, environment: dict[str, str]
) -> None:
    bad = {
        "DATABASE_URL": "mysql://me:sesame@host/x",
        "PORT": "http",
        "GOVERNANCE_DRAIN_SECONDS": "99",
        "GOVERNANCE_ENCRYPTION_KEY": "sesame",
    }
    refused = governance("serve", folder=folder, environment=environment | bad | {"REDIS_URL": ""})
    assert refused.exit_code == 2
    for variable in (*bad, "REDIS_URL"):
        assert variable in refused.output
    assert "sesame" not in refused.output
    assert "Traceback" not in refused.output


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
def test_without_an_encryption_key_it_says_how_to_make_one_and_makes_none(
    folder: Path, environment: dict[str, str], host: str
) -> None:
    del environment["GOVERNANCE_ENCRYPTION_KEY"]
    refused = governance("serve", folder=folder, environment=environment | {"HOST": host})
    assert refused.exit_code == 2
    assert "GOVERNANCE_ENCRYPTION_KEY is not set: " in refused.output
    assert "`governance encryption-key` makes one" in refused.output
    assert list(folder.iterdir()) == []


def test_a_dev_run_s_key_is_not_taken_to_serve_with(folder: Path, environment: dict[str, str]) -> None:
    load_or_make_encryption_key(folder / ".governance")
    del environment["GOVERNANCE_ENCRYPTION_KEY"]
    assert governance("serve", folder=folder, environment=environment).exit_code == 2


def test_where_others_can_reach_it_there_must_be_a_token(folder: Path, environment: dict[str, str]) -> None:
    del environment["GOVERNANCE_AUTH"]
    refused = governance("serve", folder=folder, environment=environment | ELSEWHERE)
    assert refused.exit_code == 2
    assert "governance token create" in refused.output
    assert environment["GOVERNANCE_ENCRYPTION_KEY"] not in refused.output


async def test_a_token_that_is_not_in_force_is_as_good_as_none(
    folder: Path, environment: dict[str, str], connection: Connection, sealer: Sealer
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    await create_token(connection, sealer, name="old", scope="admin", expires_at=yesterday, actor="test")
    await create_token(connection, sealer, name="gone", scope="admin", expires_at=None, actor="test")
    await revoke_token(connection, name="gone", actor="test")
    del environment["GOVERNANCE_AUTH"]
    assert governance("serve", folder=folder, environment=environment | ELSEWHERE).exit_code == 2


async def test_on_loopback_it_starts_without_a_token_tells_how_to_make_one_and_lets_nobody_in(
    folder: Path, environment: dict[str, str]
) -> None:
    del environment["GOVERNANCE_AUTH"]
    with running("serve", folder=folder, environment=environment) as service:
        await wait_for_status(port_of(environment), "/ready", 200)
        assert "governance token create" in service.output
        assert (await ask(port_of(environment), "/api/governance/customers"))[0] == 401


@pytest.mark.parametrize(
    "let_in", [{"GOVERNANCE_AUTH": "off"}, {"GOVERNANCE_ADMIN_TOKEN": "a-token-of-thirty-two-characters!"}]
)
def test_where_others_can_reach_it_an_operator_s_word_is_enough(
    folder: Path, environment: dict[str, str], let_in: dict[str, str]
) -> None:
    del environment["GOVERNANCE_AUTH"]
    assert_gets_as_far_as_listening(governance("serve", folder=folder, environment=environment | ELSEWHERE | let_in))


async def test_where_others_can_reach_it_a_token_in_force_is_enough(
    folder: Path, environment: dict[str, str], connection: Connection, sealer: Sealer
) -> None:
    await create_token(connection, sealer, name="ops", scope="admin", expires_at=None, actor="test")
    del environment["GOVERNANCE_AUTH"]
    assert_gets_as_far_as_listening(governance("serve", folder=folder, environment=environment | ELSEWHERE))


def assert_gets_as_far_as_listening(finished: Finished) -> None:
    assert finished.exit_code == 1
    assert "cannot listen on 192.0.2.1" in finished.output
    assert "governance token create" not in finished.output
