import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier

import pytest

from service.embedded.servers import EmbeddedValkey
from service.embedded.state import StateFolderBusy, create_state_folder, hold_state_folder

_HOLD = """
import sys
from pathlib import Path
from service.embedded.state import hold_state_folder
with hold_state_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder_to_be_killed(folder: Path) -> Iterator[int]:
    """The pid of a process that holds the folder, and is killed when the block ends."""
    command = [sys.executable, "-c", _HOLD, str(folder)]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == "held\n"
            yield holder.pid
        finally:
            holder.kill()


def test_a_second_holder_is_told_the_folder_and_the_pid(tmp_path: Path) -> None:
    with holder_to_be_killed(tmp_path / "state") as pid:
        refusal = f"{tmp_path / 'state'} is in use by process {pid}"
        with pytest.raises(StateFolderBusy, match=refusal), hold_state_folder(tmp_path / "state"):
            pass


def test_a_killed_holder_does_not_block_the_next(tmp_path: Path) -> None:
    with holder_to_be_killed(tmp_path):
        pass
    with hold_state_folder(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


async def test_the_folder_is_free_once_released_even_if_a_server_still_runs(folder: Path) -> None:
    with hold_state_folder(folder) as held:
        valkey = EmbeddedValkey(held)
        await valkey.start()
    try:
        with hold_state_folder(folder):
            pass
    finally:
        await valkey.stop()


def test_a_new_folder_is_private_and_an_existing_one_is_left_as_it_is(tmp_path: Path) -> None:
    existing = tmp_path / "existing"
    existing.mkdir()
    existing.chmod(0o755)
    for path in (tmp_path / "new", existing):
        with hold_state_folder(path) as folder:
            assert folder == path.resolve()
    assert (tmp_path / "new").stat().st_mode & 0o066 == 0
    assert existing.stat().st_mode & 0o777 == 0o755


def test_servers_that_start_together_may_all_make_the_folder(tmp_path: Path) -> None:
    servers, folders = 4, [tmp_path / str(number) for number in range(200)]
    together = Barrier(servers)

    def make(_: int) -> None:
        for folder in folders:
            together.wait(timeout=10)
            create_state_folder(folder)

    with ThreadPoolExecutor(servers) as pool:
        list(pool.map(make, range(servers)))
    assert {folder.stat().st_mode & 0o066 for folder in folders} == {0}
