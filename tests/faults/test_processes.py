"""`governance serve` as real processes: killed, drained, refused."""

import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from tests.faults.processes import (
    Running,
    ask,
    free_port,
    governance,
    running,
    wait_for_status,
    wait_until_gone,
)
from tests.waiting import until


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
    with socket.create_server(("127.0.0.1", port_of(environment))):
        pass  # nobody listens there any more


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


def test_where_others_can_reach_it_an_encryption_key_is_asked_for(folder: Path, environment: dict[str, str]) -> None:
    del environment["GOVERNANCE_ENCRYPTION_KEY"]
    refused = governance("serve", folder=folder, environment=environment | {"HOST": "0.0.0.0"})
    assert refused.exit_code == 2
    assert "GOVERNANCE_ENCRYPTION_KEY is not set and HOST=0.0.0.0" in refused.output
    assert list(folder.iterdir()) == []


def test_where_others_can_reach_it_a_token_is_asked_for(folder: Path, environment: dict[str, str]) -> None:
    refused = governance("serve", folder=folder, environment=environment | {"HOST": "0.0.0.0"})
    assert refused.exit_code == 2
    assert "governance token create" in refused.output
    assert environment["GOVERNANCE_ENCRYPTION_KEY"] not in refused.output
