"""A new data folder for Postgres, with the database in it."""

import os
import shutil
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

from service.embedded.accounts import Account
from service.embedded.child import Program, run_to_end

_TIMEOUT_SECONDS = 60

# trust: who can enter the socket's folder (mode 0700) may connect.
# no-sync: a crash of the machine in the seconds after may spoil a still empty database.
# locale: order by code point, upper and lower case of all letters, the same on every system.
_INITDB_OPTIONS = (
    "--username=postgres",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--auth=trust",
    "--no-sync",
    "--no-instructions",
)


def create_data(data: Path, *, programs: Path, account: Account | None, log: Path) -> None:
    """Complete or not there at all: it is made beside `data`, then renamed.

    Raises EmbeddedServerError.
    """
    for unfinished in data.parent.glob(f"{data.name}.new-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix=f"{data.name}.new-", dir=data.parent))
    if account:
        os.chown(new, account.user_id, account.group_id)
    initdb = Program(
        command=(str(programs / "initdb"), *_INITDB_OPTIONS, f"--pgdata={new}"),
        folder=new,
        log=log,
        account=account,
        death_signal=signal.SIGKILL,
    )
    run_to_end(initdb, timeout_seconds=_TIMEOUT_SECONDS)
    # "--single" reads statements from its input, without listening anywhere.
    options = ("--single", "-c", "exit_on_error=on", "-c", "fsync=off", "-D", str(new))
    create_database = replace(
        initdb,
        command=(str(programs / "postgres"), *options, "postgres"),
        stdin=Path(__file__).with_name("create_database.sql"),
    )
    run_to_end(create_database, timeout_seconds=_TIMEOUT_SECONDS)
    new.rename(data)
