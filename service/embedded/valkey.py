"""Valkey as a child process."""

import signal
import socket
from itertools import chain
from pathlib import Path

from service.embedded.child import Program
from service.embedded.folders import private_folder
from service.embedded.programs import find_valkey, version_of
from service.embedded.server import EmbeddedServer

_PING_SECONDS = 1

_SETTINGS = {
    "port": "0",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    "unixsocketperm": "700",
}


class EmbeddedValkey(EmbeddedServer):
    """Keeps an append-only file, synced every second; `settings` become `--` options."""

    label = "valkey"
    program = "valkey-server"
    pid_file_name = "valkey.pid"
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        return f"unix://{self._socket()}"

    def _prepare(self) -> Program:
        valkey = find_valkey()
        self.name = f"Valkey {version_of(valkey)}"
        self._create_state_folder()
        folder = private_folder(self._working_folder(), None)
        private_folder(self._socket_folder, None)
        self._end_left_over()
        settings = _SETTINGS | self._where() | self._settings
        return Program(
            command=(str(valkey), *chain.from_iterable((f"--{k}", v) for k, v in settings.items())),
            folder=folder,
            log=self._log,
            death_signal=self.stop_signal,
        )

    def _where(self) -> dict[str, str]:
        return {"unixsocket": str(self._socket()), "pidfile": self.pid_file_name}

    def _socket(self) -> Path:
        return self._socket_folder / "valkey.sock"

    def _working_folder(self) -> Path:
        return self._folder.resolve() / self.label

    def _answers(self, pid: int) -> bool:  # noqa: ARG002 - a socket that answers is this process's: it made it anew
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PING_SECONDS)
            try:
                connection.connect(str(self._socket()))
                connection.sendall(b"PING\r\n")
                return connection.recv(64) == b"+PONG\r\n"
            except OSError:
                return False  # not listening yet
