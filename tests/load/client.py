"""A plain HTTP/1.1 client on blocking sockets: cheap enough to measure a server that sends megabytes."""

import socket
import threading
import time

import msgspec

_BUFFER_BYTES = 1 << 20


class Measured(msgspec.Struct, frozen=True):
    """Latencies of all requests that ended in the time measured, sorted."""

    seconds: float
    latencies_ms: list[float]
    body_bytes: int

    @property
    def per_second(self) -> float:
        return len(self.latencies_ms) / self.seconds

    def percentile_ms(self, share: float) -> float:
        return self.latencies_ms[min(int(len(self.latencies_ms) * share), len(self.latencies_ms) - 1)]


def measure(port: int, path: str, *, connections: int, seconds: float) -> Measured:
    """GET `path` over and over on `connections` connections. Raises RuntimeError for any answer but 200."""
    latencies_ms: list[float] = []
    failures: list[str] = []
    sizes: list[int] = []
    started = time.perf_counter()

    def repeat() -> None:
        try:
            _repeat()
        except (OSError, RuntimeError) as error:
            failures.append(str(error))

    def _repeat() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            buffer = memoryview(bytearray(_BUFFER_BYTES))
            request = f"GET {path} HTTP/1.1\r\nHost: load\r\n\r\n".encode()
            while not failures:
                begun = time.perf_counter()
                status, size = _get(connection, request, buffer)
                if status != 200:
                    raise RuntimeError(f"GET {path} answered {status}")
                latencies_ms.append((time.perf_counter() - begun) * 1000)
                sizes.append(size)
                if time.perf_counter() - started >= seconds:
                    return

    threads = [threading.Thread(target=repeat) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(failures[0])
    return Measured(time.perf_counter() - started, sorted(latencies_ms), sizes[-1])


def _get(connection: socket.socket, request: bytes, buffer: memoryview) -> tuple[int, int]:
    connection.sendall(request)
    head = b""
    while b"\r\n\r\n" not in head:
        received = connection.recv(65536)
        if not received:
            raise RuntimeError("the server closed the connection")
        head += received
    head, _, body = head.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    left = length - len(body)
    while left:
        received_bytes = connection.recv_into(buffer, min(left, _BUFFER_BYTES))
        if not received_bytes:
            raise RuntimeError("the server closed the connection")
        left -= received_bytes
    return int(lines[0].split()[1]), length
