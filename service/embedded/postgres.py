"""Postgres as a child process."""

import signal
from itertools import chain
from pathlib import Path

from service.embedded.accounts import Account, unprivileged_account
from service.embedded.child import Program
from service.embedded.folders import postgres_home, private_folder
from service.embedded.postgres_data import create_data
from service.embedded.programs import find_postgres, postgres_reachable_by, version_of
from service.embedded.server import EmbeddedServer

# Only part of the socket's name; in the URL too, so that a client's PGPORT does not matter.
_PORT = 5432


class EmbeddedPostgres(EmbeddedServer):
    """With the database `governance`, the superuser `postgres`; `settings` become `-c` options."""

    label = "postgres"
    program = "postgres"
    pid_file_name = "postmaster.pid"
    stop_signal = signal.SIGINT  # "fast": ends the connections, then writes a checkpoint

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/governance?host={self._socket_folder}&port={_PORT}"

    def _prepare(self) -> Program:
        self.name = f"Postgres {version_of(find_postgres())}"
        self._create_state_folder()
        account = unprivileged_account()
        data = postgres_home(self._folder, account) / "data"
        sockets = private_folder(self._socket_folder, account).resolve()
        self._end_left_over()
        # They name a pid too. If another process has it by now, Postgres would not start.
        for remnant in sockets.iterdir():
            remnant.unlink()
        postgres = postgres_reachable_by(account)
        if not data.exists():
            create_data(data, programs=postgres.parent, account=account, log=self._log)
        return self._program_on(data, sockets, postgres=postgres, account=account)

    def _program_on(self, data: Path, sockets: Path, *, postgres: Path, account: Account | None) -> Program:
        settings = {
            "listen_addresses": "",
            "port": str(_PORT),
            "unix_socket_directories": str(sockets),
            "unix_socket_permissions": "0700",
        } | self._settings
        options = chain.from_iterable(("-c", f"{name}={value}") for name, value in settings.items())
        return Program(
            command=(str(postgres), "-D", str(data), *options),
            folder=data,
            log=self._log,
            account=account,
            death_signal=self.stop_signal,
        )

    def _working_folder(self) -> Path:
        return (self._folder / self.label / "data").resolve()

    def _answers(self, pid: int) -> bool:
        """As pg_ctl judges it: line 1 of postmaster.pid is the pid, line 8 the status."""
        pid_file = self._working_folder() / self.pid_file_name
        lines = pid_file.read_text().splitlines() if pid_file.exists() else []
        return len(lines) == 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
