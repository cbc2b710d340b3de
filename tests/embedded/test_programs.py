import os
import shutil
from pathlib import Path

import pytest

from service.embedded import folders, programs
from service.embedded.accounts import can_reach, unprivileged_account
from service.embedded.child import Program, run_to_end
from service.embedded.programs import find_postgres, postgres_reachable_by, version_of


@pytest.fixture
def closed_installation(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the wheel's files that only root can read, as in an environment under /root."""
    package = find_postgres().parents[2]
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    for part in (package / "pginstall18", package.with_name(f"{package.name}.libs")):
        if part.exists():
            place = closed / part.relative_to(package.parent)
            shutil.copytree(part, place, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    for path in closed.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    copy = closed / find_postgres().relative_to(package.parent)
    monkeypatch.setattr(folders, "SYSTEM_FOLDER", folder / "system")
    monkeypatch.setattr(programs, "find_postgres", lambda: copy)
    return copy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")
def test_postgres_runs_from_a_copy_if_its_user_cannot_reach_the_installation(
    closed_installation: Path, folder: Path
) -> None:
    account = unprivileged_account()
    assert account
    assert not can_reach(closed_installation, account)
    copy = folder / "system" / f"postgres-{version_of(closed_installation)}"
    for _ in range(2):
        postgres = postgres_reachable_by(account)
        assert postgres.is_relative_to(copy)
        assert list((folder / "system").iterdir()) == [copy]
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in copy.rglob("*"))
    # Of all programs this one also has to find the libraries.
    version = (str(postgres.with_name("initdb")), "--version")
    log = folder / "log"
    log.touch()
    run_to_end(Program(command=version, folder=copy, log=log, account=account), timeout_seconds=10)


def test_an_ordinary_user_runs_the_wheels_own_postgres() -> None:
    assert postgres_reachable_by(None) == find_postgres()
