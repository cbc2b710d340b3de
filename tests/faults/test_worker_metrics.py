"""/metrics of two real workers: whichever is asked answers for both, and a killed one costs no scrape."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from service.settings import Settings
from tests.exposition import Series, parse, total
from tests.faults.processes import Running, ask, free_port, running, wait_for_status, wait_until_gone
from tests.waiting import until

ANSWERED = "governance_http_answers_total"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="governance-") as folder:
        yield Path(folder)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
async def service(folder: Path, settings: Settings, port: int) -> AsyncIterator[Running]:
    temporary = folder / "temporary"
    temporary.mkdir()
    environment = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "GOVERNANCE_ENCRYPTION_KEY": settings.encryption_key,
        "GOVERNANCE_AUTH": "off",
        "GOVERNANCE_DRAIN_SECONDS": "0",
        "PORT": str(port),
        "TMPDIR": str(temporary),
    }
    with running("serve", "--workers", "2", folder=folder, environment=environment) as service:
        await wait_for_status(port, "/ready", 200)
        await until_both_answer(port)
        yield service


async def scrape(port: int) -> Series:
    """By a connection of its own: the kernel chooses the worker."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as response:
        assert response.status == 200
        return parse(await response.text())


async def until_both_answer(port: int) -> None:
    async def both() -> bool:
        try:
            return total(await scrape(port), "governance_worker_up") == 2
        except aiohttp.ClientConnectionError:
            return False  # a killed worker's last thread keeps its socket open a moment longer than the worker is seen

    await until(both, seconds=20)


async def test_what_both_workers_answered_is_in_every_scrape(service: Running, port: int) -> None:
    for _ in range(40):
        assert (await ask(port, "/openapi.json"))[0] == 200
    for _ in range(10):
        series = await scrape(port)
        assert total(series, ANSWERED, operation="get_openapi_json", status="200") == 40
        assert total(series, "governance_http_request_seconds_count", operation="get_openapi_json") == 40
    by_worker = [total(series, ANSWERED, operation="get_openapi_json", worker=worker) for worker in "12"]
    assert min(by_worker) > 0
    assert len(series["process_resident_memory_bytes"]) == 2


async def test_a_killed_worker_is_told_of_and_its_successor_counts_from_zero(service: Running, port: int) -> None:
    killed, _ = service.workers()
    number = next(part.removeprefix("--number=") for part in killed.cmdline() if part.startswith("--number="))
    killed.send_signal(signal.SIGSTOP)

    async def told() -> bool:
        try:
            async with asyncio.timeout(3):
                return total(await scrape(port), "governance_worker_up", worker=number) == 0
        except TimeoutError:
            return False  # the kernel gave the connection to the one that is frozen

    await until(told, seconds=30)
    killed.send_signal(signal.SIGKILL)
    await wait_until_gone([killed])
    await until_both_answer(port)
    assert total(await scrape(port), ANSWERED, operation="get_openapi_json", worker=number) == 0


async def test_nothing_is_left_in_the_temporary_folder(service: Running, folder: Path) -> None:
    assert len(list((folder / "temporary").iterdir())) == 1
    service.send(signal.SIGTERM)
    assert await service.exit_code() == 0
    assert list((folder / "temporary").iterdir()) == []
