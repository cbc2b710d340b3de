import os
import shutil
from pathlib import Path

import pytest

from service.embedded import folders
from service.embedded.accounts import Account, can_reach, unprivileged_account
from service.embedded.folders import postgres_home, private_folder, socket_folder
from service.embedded.servers import EmbeddedPostgres, EmbeddedServerError
from tests.embedded.notes import read_note, write_note

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")
_STRANGER = Account(user_id=12_345, group_id=12_345)


@pytest.mark.parametrize(("mode", "reached"), [(0o711, True), (0o755, True), (0o700, False), (0o770, False)])
def test_a_folder_is_reached_if_others_may_enter_all_above(folder: Path, *, mode: int, reached: bool) -> None:
    folder.chmod(0o711)
    inner = folder / "closed" / "open"
    inner.mkdir(parents=True)
    inner.chmod(0o755)
    inner.parent.chmod(mode)
    assert can_reach(inner, _STRANGER) is reached


def test_the_owner_and_the_group_reach_by_their_own_bits(folder: Path) -> None:
    folder.chmod(0o711)
    inner = folder / "inner"
    inner.mkdir()
    inner.chmod(0o701)
    mine = inner.stat()
    assert can_reach(inner, Account(mine.st_uid, 12_345))
    assert not can_reach(inner, Account(12_345, mine.st_gid))


def test_a_folder_that_others_may_enter_or_that_is_a_link_is_not_taken_for_private(
    tmp_path: Path,
) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    private_folder(tmp_path / "private", None)
    (tmp_path / "link").symlink_to(tmp_path / "private")
    for name in ("open", "link"):
        with pytest.raises(EmbeddedServerError, match=name):
            private_folder(tmp_path / name, None)


def test_sockets_are_beside_the_data_unless_the_path_is_long_or_odd() -> None:
    assert socket_folder(Path("/srv/state"), "valkey") == Path("/srv/state/valkey/socket")
    for odd in ("/srv/a b", "/srv/a,b", "/srv/50%", "/srv/" + "x" * 90):
        short = socket_folder(Path(odd), "valkey")
        assert short.parent == Path("/tmp")
        assert short == socket_folder(Path(odd), "valkey")
        assert short != socket_folder(Path(odd), "postgres")
        assert short != socket_folder(Path(odd + "x"), "valkey")


@pytest.fixture
def closed_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that `nobody` cannot enter, and another place for what lies outside of it."""
    monkeypatch.setattr(folders, "SYSTEM_FOLDER", folder / "system")
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    return closed


@as_root
async def test_in_a_closed_folder_the_data_lies_elsewhere_and_nothing_is_opened(
    closed_folder: Path,
) -> None:
    postgres = EmbeddedPostgres(closed_folder / "state")
    await postgres.start()
    note = await write_note(postgres)
    await postgres.stop()
    await postgres.start()
    assert await read_note(postgres) == note
    await postgres.stop()
    home = closed_folder / "state" / "postgres"
    assert home.is_symlink()
    assert [home.resolve()] == list((closed_folder.parent / "system").glob("state-*"))
    assert not can_reach(closed_folder, _STRANGER)


@as_root
def test_data_of_an_ordinary_user_is_not_taken_over_by_root(closed_folder: Path) -> None:
    users = closed_folder / "postgres"
    users.mkdir(mode=0o700)
    os.chown(users, _STRANGER.user_id, _STRANGER.group_id)
    with pytest.raises(EmbeddedServerError, match=f"{users} belongs to user {_STRANGER.user_id}"):
        postgres_home(closed_folder, unprivileged_account())


@as_root
def test_a_closed_folder_made_anew_starts_empty(closed_folder: Path) -> None:
    account = unprivileged_account()
    state = closed_folder / "state"
    state.mkdir()
    first = postgres_home(state, account)
    (first / "data").mkdir()
    assert postgres_home(state, account) == first
    shutil.rmtree(state)

    state.mkdir()
    assert list(postgres_home(state, account).iterdir()) == []
