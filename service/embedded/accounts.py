"""The OS user that Postgres runs as, and which paths that user can get to."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from service.embedded.errors import EmbeddedServerError


@dataclass(frozen=True)
class Account:
    user_id: int
    group_id: int


def unprivileged_account() -> Account | None:
    """`nobody` when we are root, which Postgres refuses to run as; None means: run as we are."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedServerError(
            "Postgres cannot run as root, and there is no OS user 'nobody' to run it as: start as an ordinary user"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def can_reach(path: Path, account: Account) -> bool:
    """Whether the mode bits let the account enter every folder down to `path`, and `path` itself.

    For a file, "enter" means execute. Access control lists are not looked at.
    """
    real = path.resolve()
    return all(_may_enter(step.stat(), account) for step in (real, *real.parents))


def _may_enter(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.user_id:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.group_id:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
