"""`governance dev` as a real process: one command from nothing to a tree, and nothing left behind however it ends."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.processes import Running, ask, free_port, governance, running, wait_for_status, wait_until_gone
from tests.waiting import until

READY_SECONDS = 20
CUSTOMERS = "/api/governance/customers"


class Dev:
    """Runs on one state folder, one after the other, each on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.state = folder / "state"
        self.port = free_port()

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("dev", "--port", str(self.port), "--state", str(self.state))

    def run(self) -> Any:
        return running(*self.arguments, folder=self._folder, environment={})

    async def wait_until_ready(self) -> None:
        await wait_for_status(self.port, "/ready", 200, seconds=READY_SECONDS)

    async def read(self) -> Any:
        status, body = await ask(self.port, CUSTOMERS)
        assert status == 200
        return body

    def refused(self) -> str:
        """What a run says that must not start."""
        finished = governance(
            "dev", "--port", str(free_port()), *self.arguments[3:], folder=self._folder, environment={}
        )
        assert finished.exit_code == 1
        assert "Traceback" not in finished.output
        return finished.output


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One for all tests, because new data takes seconds; each leaves it with nothing running."""
    with tempfile.TemporaryDirectory(prefix="governance-dev-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def dev(folder: Path) -> Dev:
    return Dev(folder)


def configuration_of(entity: Any) -> Any:
    """Without the numbers of windows, which may have ended meanwhile."""
    if isinstance(entity, list):
        return [configuration_of(item) for item in entity]
    if not isinstance(entity, dict):
        return entity
    return {
        field: configuration_of(value)
        for field, value in entity.items()
        if not field.endswith(("current_usage", "last_reset"))
    }


def servers_of(run: Running) -> list[psutil.Process]:
    return [process for process in run.family() if process.name() in {"postgres", "valkey-server"}]


async def test_from_nothing_it_serves_three_customers_and_leaves_nothing_behind(dev: Dev) -> None:
    with dev.run() as run:
        await dev.wait_until_ready()
        answer = await dev.read()
        assert (len(answer["customers"]), answer["count"], answer["total_count"]) == (3, 3, 3)
        assert f"curl http://127.0.0.1:{dev.port}{CUSTOMERS}\n" in run.output
        family = run.family()
        assert len(servers_of(run)) > 2
        run.send(signal.SIGTERM)
        assert await run.exit_code(seconds=20) == 0
        await wait_until_gone(family, seconds=1)
        assert run.output.rstrip().endswith("Stopped.")
        assert "Traceback" not in run.output


async def test_killed_it_leaves_nothing_behind_and_the_next_run_has_the_same_data(dev: Dev) -> None:
    with dev.run() as run:
        await dev.wait_until_ready()
        before = configuration_of(await dev.read())
        family = run.family()
        run.send(signal.SIGKILL)
        await wait_until_gone(family, seconds=5)
    with dev.run() as run:
        await dev.wait_until_ready()
        assert configuration_of(await dev.read()) == before
        run.send(signal.SIGTERM)
        assert await run.exit_code(seconds=20) == 0


async def test_a_second_run_says_who_holds_the_state_folder_and_a_killed_server_is_started_again(dev: Dev) -> None:
    with dev.run() as run:
        await dev.wait_until_ready()
        assert f"{dev.state} is in use by process {run.pid}" in dev.refused()
        await kill_and_wait_for_another(run, "valkey-server")
        await kill_and_wait_for_another(run, "postgres")
        await wait_for_live_customers(dev)
        run.send(signal.SIGTERM)
        assert await run.exit_code(seconds=20) == 0


async def kill_and_wait_for_another(run: Running, program: str) -> None:
    server = next(process for process in psutil.Process(run.pid).children() if process.name() == program)
    server.send_signal(signal.SIGKILL)

    async def another_runs() -> bool:
        children = psutil.Process(run.pid).children()
        return any(child.name() == program and child != server for child in children)

    await until(another_runs)
    assert "starting it again" in run.output


async def wait_for_live_customers(dev: Dev) -> None:
    async def both_are_up() -> bool:
        _, health = await ask(dev.port, "/health")
        found: bool = health["components"] == {"postgres": "ok", "redis": "ok"}
        return found

    await wait_for_status(dev.port, CUSTOMERS, 200)
    await until(both_are_up)
    assert len((await dev.read())["customers"]) == 3
