"""State folders and servers for these tests."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.embedded.servers import EmbeddedPostgres, EmbeddedServer, EmbeddedValkey


@contextmanager
def passable_folder() -> Iterator[Path]:
    """A temporary folder; pytest's own are closed to `nobody`, which runs Postgres for root."""
    folder = Path(tempfile.mkdtemp(prefix="governance-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    with passable_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def state_folder() -> Iterator[Path]:
    """One for all tests, because new data takes a second; each leaves it with no server running."""
    with passable_folder() as folder:
        yield folder / "state"


@pytest.fixture(params=[EmbeddedPostgres, EmbeddedValkey])
async def server(request: pytest.FixtureRequest, state_folder: Path) -> AsyncIterator[EmbeddedServer]:
    server: EmbeddedServer = request.param(state_folder)
    yield server
    await server.stop()


@pytest.fixture
async def postgres(state_folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(state_folder)
    yield server
    await server.stop()
