"""Load at a fixed arrival rate, whether or not the answers keep up.

A request's time counts from when it was due, not from when a connection was free to send it: a server that stalls is
charged with all the requests that should have been sent meanwhile (no coordinated omission).
"""

import gc
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.load.figures import Sample, percentile
from tests.load.wrk import LoadError

_RECEIVE_BYTES = 65_536
_HEAD_END = b"\r\n\r\n"

NextBody = Callable[[], bytes]


class Connection:
    """One HTTP/1.1 connection with at most one request under way."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due_at = 0.0
        self._received = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, request: bytes, *, due_at: float) -> None:
        self.due_at = due_at
        self._received = b""
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """The status of the answer once all of it is there. Raises LoadError when the server hangs up."""
        received = self.socket.recv(_RECEIVE_BYTES)
        if not received:
            raise LoadError("the server closed a connection")
        self._received += received
        return answered_status(self._received)


def answered_status(received: bytes) -> int | None:
    """None while an answer is incomplete."""
    head, found, body = received.partition(_HEAD_END)
    if not found:
        return None
    lines = head.split(b"\r\n")
    lengths = [int(line[15:]) for line in lines if line[:15].lower() == b"content-length:"]
    return int(lines[0].split()[1]) if lengths and len(body) >= lengths[0] else None


class OpenLoop:
    """`connections` to a server, to send the POSTs of `next_body` to `url`.

    Requests still unanswered `finish_seconds` after the last was due make a round void.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str,
        next_body: NextBody,
        connections: int,
        finish_seconds: float = 10.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        parts = urlsplit(url)
        address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._head = _head(parts.path, host=parts.netloc, token=token)
        self._next_body = next_body
        self._finish_seconds = finish_seconds
        self._clock = clock
        self._idle = deque(Connection(address) for _ in range(connections))
        self._busy: set[Connection] = set()

    def close(self) -> None:
        for connection in (*self._idle, *self._busy):
            connection.socket.close()

    def measure(self, *, per_second: float, seconds: float) -> Sample:
        """`value` is the p99 in ms. Raises LoadError for an answer that is no success, or none."""
        with _without_pauses():
            took_ms = sorted(self._run(per_second=per_second, seconds=seconds))
        p99_ms = percentile(took_ms, 0.99)
        return Sample(p99_ms, percentile(took_ms, 0.5), p99_ms)

    def _run(self, *, per_second: float, seconds: float) -> Iterator[float]:
        started = self._clock()
        due = deque(started + number / per_second for number in range(round(per_second * seconds)))
        deadline = due[-1] + self._finish_seconds
        while due or self._busy:
            now = self._clock()
            if now > deadline:
                raise LoadError(f"{len(due) + len(self._busy)} requests were not answered in time")
            while due and due[0] <= now and self._idle:
                self._send(due.popleft())
            # To the microsecond, unlike epoll; and only what can happen next is waited for.
            pause = max(0.0, due[0] - now) if due and self._idle else self._finish_seconds
            readable, _, _ = select.select(self._busy, (), (), pause)
            yield from self._finish(readable)

    def _send(self, due_at: float) -> None:
        connection = self._idle.popleft()
        body = self._next_body()
        connection.send(b"%s%d\r\n\r\n%s" % (self._head, len(body), body), due_at=due_at)
        self._busy.add(connection)

    def _finish(self, readable: list[Connection]) -> Iterator[float]:
        for connection in readable:
            status = connection.receive()
            if status is None:
                continue
            if status != 200:
                raise LoadError(f"a request was answered {status}")
            self._busy.remove(connection)
            self._idle.append(connection)
            yield (self._clock() - connection.due_at) * 1000


@contextmanager
def _without_pauses() -> Iterator[None]:
    """The garbage collector would stop this process for up to 40 ms, and whoever is measured were charged with it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _head(path: str, *, host: str, token: str) -> bytes:
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}Content-Type: application/json\r\nContent-Length: "
    ).encode()
