"""Child processes that end with us, and the thread that waits for each."""

import os
import signal
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from service.embedded import launch
from service.embedded.accounts import Account
from service.embedded.errors import EmbeddedServerError
from service.embedded.logs import log_tail, size_bytes

# Nothing else: PGPORT and its like would change the server, and our secrets are not its business.
_INHERITED_VARIABLES = ("PATH", "LD_LIBRARY_PATH")


@dataclass(frozen=True, kw_only=True)
class Program:
    command: tuple[str, ...]
    folder: Path
    """Working directory."""
    log: Path
    """Takes both output streams."""
    account: Account | None = None
    stdin: Path = Path(os.devnull)
    death_signal: signal.Signals = signal.SIGKILL
    """What it is sent when this process dies (Linux only)."""


class Child:
    """A running program.

    The thread that starts it waits until it ends, for two reasons: the kernel sends its "parent
    died" signal when the starting *thread* ends; and so it is not bound to an event loop.
    """

    def __init__(self, program: Program) -> None:
        self.started: Future[subprocess.Popen[bytes]] = Future()
        self.ended: Future[int] = Future()
        # From here on a cancelled waiter does not cancel the future under the other waiters.
        self.ended.set_running_or_notify_cancel()
        name = f"waits for {Path(program.command[0]).name}"
        Thread(target=self._live, args=(program,), name=name, daemon=True).start()

    @property
    def pid(self) -> int | None:
        if self.ended.done() or not self.started.done():
            return None
        return self.started.result().pid

    def _live(self, program: Program) -> None:
        try:
            process = _open(program)
        except OSError as error:
            self.started.set_exception(error)
            self.ended.set_exception(error)
            return
        self.started.set_result(process)
        self.ended.set_result(process.wait())


def run_to_end(program: Program, *, timeout_seconds: float) -> None:
    """Runs it in the calling thread.

    Raises EmbeddedServerError, with what it logged, unless it ends well and in time.
    """
    name, since_bytes = Path(program.command[0]).name, size_bytes(program.log)
    with _open(program) as process:
        try:
            code = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise EmbeddedServerError(f"{name} took over {timeout_seconds} s") from None
    if code:
        tail = log_tail(program.log, since_bytes=since_bytes)
        raise EmbeddedServerError(f"{name} failed ({code}):\n{tail}")


def _open(program: Program) -> subprocess.Popen[bytes]:
    account = program.account or Account(launch.KEEP_USER, launch.KEEP_USER)
    facts = (os.getpid(), int(program.death_signal), account.user_id, account.group_id)
    # Isolated and without site-packages, so that it starts in 20 ms.
    interpreter = (sys.executable, "-I", "-S", launch.__file__)
    environment = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
    with program.stdin.open("rb") as stdin, program.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own programs, no shell
            (*interpreter, *map(str, facts), *program.command),
            stdin=stdin,
            stdout=log,
            stderr=log,
            cwd=program.folder,
            env=environment | {"LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,  # the terminal's Ctrl-C is for us; we stop them in order
        )
