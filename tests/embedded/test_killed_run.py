"""A run that is killed: its servers end with it, and the next run starts on the same folder."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from service.embedded.servers import EmbeddedPostgres, EmbeddedServer, EmbeddedValkey
from service.embedded.state import hold_state_folder
from tests.embedded.notes import read_note
from tests.embedded.waiting import lives, until

_RUN = """
import asyncio, sys
from pathlib import Path
from service.embedded.servers import EmbeddedPostgres, EmbeddedValkey
from service.embedded.state import hold_state_folder
from tests.embedded.notes import write_note

async def run(folder):
    servers = EmbeddedPostgres(folder), EmbeddedValkey(folder)
    for server in servers:
        await server.start()
        print(server.pid, await write_note(server), flush=True)
    await asyncio.Event().wait()

with hold_state_folder(Path(sys.argv[1])) as folder:
    asyncio.run(run(folder))
"""


@contextmanager
def run_to_be_killed(state_folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A run on the folder, killed when the block ends."""
    command = [sys.executable, "-c", _RUN, str(state_folder)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as run:
        try:
            yield run
        finally:
            run.kill()


async def test_its_servers_end_and_do_not_block_the_next_run(state_folder: Path) -> None:
    with run_to_be_killed(state_folder) as run:
        assert run.stdout
        pids, notes = zip(*(run.stdout.readline().split() for _ in range(2)), strict=True)
        processes = [psutil.Process(int(pid)) for pid in pids]
        processes += [child for process in processes for child in process.children()]
    await until(lambda: not any(map(lives, processes)))

    with hold_state_folder(state_folder) as folder:
        servers: list[EmbeddedServer] = [EmbeddedPostgres(folder), EmbeddedValkey(folder)]
        for server, note in zip(servers, notes, strict=True):
            await server.start()
            assert await read_note(server) == note
            await server.stop()


async def test_killed_while_it_makes_the_data_it_does_not_block_the_next_run(
    folder: Path,
) -> None:
    state_folder = folder / "state"
    with run_to_be_killed(state_folder):
        await until(lambda: any(state_folder.glob("postgres/data.new-*/PG_VERSION")))
    assert not (state_folder / "postgres" / "data").exists()

    postgres = EmbeddedPostgres(state_folder)
    await postgres.start()
    await postgres.stop()
    assert {path.name for path in (state_folder / "postgres").iterdir()} == {"data", "socket"}
