"""What the two embedded servers have in common: start, stop, signals."""

import asyncio
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from service.embedded.child import Child, Program
from service.embedded.errors import EmbeddedServerError
from service.embedded.folders import socket_folder
from service.embedded.left_over import end_left_over, signal_tree
from service.embedded.logs import begin_log, log_tail
from service.embedded.state import create_state_folder

_START_SECONDS = 30
_CLEAN_STOP_SECONDS = 10
_KILL_SECONDS = 5
_POLL_SECONDS = 0.01

# A process that gets these cannot pass them on; the fault they stand for strikes the whole server.
_SIGNALS_FOR_ALL = frozenset({signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT})


class EmbeddedServer(ABC):
    """One server on one state folder, which the caller holds (`hold_state_folder`).

    Not bound to an event loop: it may be started in one and stopped in another. It listens on a
    unix socket only, in a folder that only its owner can enter; that protects it, no password does.
    """

    label: ClassVar[str]
    program: ClassVar[str]
    pid_file_name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.name = self.label.capitalize()
        self._folder = folder.absolute()
        self._settings = dict(settings or {})
        self._socket_folder = socket_folder(self._folder, self.label)
        self._log = self._folder / f"{self.label}.log"
        self._log_begin_bytes = 0
        self._child: Child | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """What a client connects with; valid before the first start too."""

    @property
    def pid(self) -> int | None:
        """None unless running."""
        return self._child.pid if self._child else None

    async def start(self) -> None:
        """Returns when the server answers; at once if it is running.

        Ends the server of an earlier, killed run on this folder first; makes the data if there is
        none. Raises EmbeddedServerError, with the tail of its log, if it does not answer in 30 s.
        """
        if self.pid is not None:
            return
        try:
            self._child = Child(await asyncio.to_thread(self._prepare))
            await self._wait_for_answer(self._child)
        except OSError as error:
            await self.stop()
            raise EmbeddedServerError(f"{self.name} cannot be started: {error}") from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Ends it cleanly, or by SIGKILL after 10 s; also when it is frozen, or ended already."""
        if self._child is not None:
            await asyncio.to_thread(self._stop, self._child)

    async def exited(self) -> int:
        """The exit code (negative: the signal that ended it), once the process has ended."""
        if self._child is None:
            raise EmbeddedServerError(f"{self.name} was never started")
        return await asyncio.wrap_future(self._child.ended)

    def send(self, signal_number: int) -> None:
        """Signals the server; SIGKILL, SIGSTOP and SIGCONT reach its children (connections) too."""
        if self.pid is None:
            raise EmbeddedServerError(f"{self.name} is not running")
        if signal_number in _SIGNALS_FOR_ALL:
            signal_tree(self.pid, signal_number)
        elif self._child:
            self._child.started.result().send_signal(signal_number)

    @abstractmethod
    def _prepare(self) -> Program:
        """Everything that comes before the start, and what to start; runs in a thread."""

    @abstractmethod
    def _working_folder(self) -> Path:
        """Where the server keeps its data, without links in the path."""

    @abstractmethod
    def _answers(self, pid: int) -> bool:
        """Whether the process is ready for clients."""

    def _create_state_folder(self) -> None:
        create_state_folder(self._folder)
        self._log_begin_bytes = begin_log(self._log)

    def _end_left_over(self) -> None:
        folder = self._working_folder()
        pid_file = folder / self.pid_file_name
        end_left_over(folder, program=self.program, pid_file=pid_file, stop_signal=self.stop_signal)

    async def _wait_for_answer(self, child: Child) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not await asyncio.to_thread(self._answers_of, child):
            if child.ended.done():
                raise await asyncio.to_thread(self._failed, f"ended with code {child.ended.result()}")
            if time.monotonic() > deadline:
                raise await asyncio.to_thread(self._failed, f"did not answer within {_START_SECONDS} s")
            await asyncio.sleep(_POLL_SECONDS)

    def _answers_of(self, child: Child) -> bool:
        return child.pid is not None and self._answers(child.pid)

    def _failed(self, what: str) -> EmbeddedServerError:
        tail = log_tail(self._log, since_bytes=self._log_begin_bytes)
        return EmbeddedServerError(f"{self.name} {what}. The end of {self._log}:\n{tail}")

    def _stop(self, child: Child) -> None:
        if child.started.exception(_KILL_SECONDS):
            return
        if not child.ended.done():
            self._end(child)
        if child.ended.result() != 0:
            self._end_left_over()

    def _end(self, child: Child) -> None:
        process = child.started.result()
        signal_tree(process.pid, signal.SIGCONT)  # it may be frozen
        process.send_signal(self.stop_signal)
        try:
            child.ended.result(_CLEAN_STOP_SECONDS)
        except TimeoutError:
            process.kill()
            child.ended.result(_KILL_SECONDS)
