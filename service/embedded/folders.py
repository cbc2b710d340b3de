"""Where the servers keep their data and sockets, and how those folders stay private.

Nothing here changes the mode or owner of a folder that was there before.
"""

import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path

from service.embedded.accounts import Account, can_reach
from service.embedded.errors import EmbeddedServerError

# For what `nobody` must reach when root's state folder or programs lie in a place like /root.
SYSTEM_FOLDER = Path("/var/lib/governance")

# A socket address holds 108 bytes on Linux, 104 on macOS, the closing NUL included.
_SOCKET_PATH_BYTES = 100
_LONGEST_SOCKET_NAME = ".s.PGSQL.5432"


def private_folder(path: Path, account: Account | None) -> Path:
    """Creates `path` with mode 0700 for the account, or checks that it is such a folder already.

    The check matters under /tmp, where anybody may have made it first. Raises EmbeddedServerError.
    """
    if not os.path.lexists(path):
        path.mkdir(mode=0o700)
        _give(path, account)
    status = path.lstat()
    owner = account.user_id if account else os.geteuid()
    if status.st_uid != owner:
        raise EmbeddedServerError(f"{path} belongs to user {status.st_uid}, but user {owner} needs it")
    if not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077:
        raise EmbeddedServerError(f"{path} is not a folder that only its owner can enter")
    return path


def postgres_home(state_folder: Path, account: Account | None) -> Path:
    """The folder that holds Postgres' data: `postgres` in the state folder, or what that links to.

    Where the account cannot reach the state folder, a new one under SYSTEM_FOLDER, and a link to
    it. Only the link finds it again (its name ends at random): a state folder that was deleted and
    made anew starts empty, and two never share one.
    """
    home = state_folder / "postgres"
    if home.is_symlink() and not home.exists():
        home.unlink()
    if account and not os.path.lexists(home) and not can_reach(state_folder, account):
        home.symlink_to(_home_outside(state_folder, account))
    real = private_folder(home.resolve(), account)
    if account and not can_reach(real, account):
        raise EmbeddedServerError(f"{real} cannot be reached by user {account.user_id}, which runs Postgres")
    return real


def _home_outside(state_folder: Path, account: Account) -> Path:
    SYSTEM_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    plain_name = re.sub(r"[^A-Za-z0-9._-]", "_", state_folder.name)[:24]
    prefix = f"{plain_name}-{_digest(state_folder)}-"
    home = Path(tempfile.mkdtemp(prefix=prefix, dir=SYSTEM_FOLDER))
    _give(home, account)
    return home


def socket_folder(state_folder: Path, label: str) -> Path:
    """Where the server's socket goes: beside its data, or in /tmp if that path is too long.

    Or not plain: commas, blanks and the like mean something in a URL or to the server. In /tmp and
    not $TMPDIR, which may be as long. The same state folder always gets the same answer.
    """
    beside_the_data = state_folder / label / "socket"
    path = str(beside_the_data / _LONGEST_SOCKET_NAME)
    if len(path) <= _SOCKET_PATH_BYTES and re.fullmatch(r"[A-Za-z0-9/._-]+", path):
        return beside_the_data
    return Path("/tmp") / f"governance-{_digest(state_folder)}-{label}"  # noqa: S108 - judged by private_folder


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _give(path: Path, account: Account | None) -> None:
    if account:
        os.chown(path, account.user_id, account.group_id, follow_symlinks=False)
