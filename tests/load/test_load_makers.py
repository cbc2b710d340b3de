"""The load itself: what wrk is read to say, and that a stalled server is charged with what it kept waiting."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from tests.load.bodies import authorizes_of_each, random_authorizes
from tests.load.open_loop import OpenLoop, answered_status
from tests.load.wrk import LoadError, parse_told

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def test_what_wrk_tells_is_its_last_line_of_json() -> None:
    line = '{"requests":10,"seconds":2.0,"bytes":100,"p50_ms":1.0,"p99_ms":2.0,"refused":1,"broken":0}'
    told = parse_told(f"Running 2s test\nJSON {line}\n")
    assert told is not None
    assert (told.requests, told.refused) == (10, 1)


def test_wrk_that_did_not_get_to_its_end_tells_nothing() -> None:
    assert parse_told("unable to connect") is None


@pytest.mark.parametrize("end", range(1, len(_OK)))
def test_an_answer_is_not_complete_before_its_last_byte(end: int) -> None:
    assert answered_status(_OK[:end]) is None
    assert answered_status(_OK) == 200


def test_each_virtual_key_is_asked_about_once_with_a_request_id_of_its_own() -> None:
    next_body = authorizes_of_each(["a", "b", "c"])
    bodies = [msgspec.json.decode(next_body()) for _ in range(3)]
    assert [body["virtual_key"] for body in bodies] == ["a", "b", "c"]
    assert len({body["request_id"] for body in bodies}) == 3


def test_two_runs_never_use_the_same_request_id() -> None:
    first, second = random_authorizes(["a"]), random_authorizes(["a"])
    ids = {msgspec.json.decode(make())["request_id"] for make in (first, first, second, second)}
    assert len(ids) == 4


class Ticking:
    """A clock that goes a millisecond on whenever it is read."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 0.001
        return self.seconds

    def stall(self) -> None:
        self.seconds += 0.2


@contextmanager
def server(answer: bytes, *, first: Callable[[], None] = lambda: None) -> Iterator[str]:
    """Answers every request on one connection with `answer`; before the first, something happens."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            before: Callable[[], None] | None = first
            while connection.recv(65_536):
                if before is not None:
                    before()
                    before = None
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        thread.join(5)
        listener.close()


def test_a_stall_counts_for_every_request_that_was_due_meanwhile() -> None:
    clock = Ticking()
    with server(_OK, first=clock.stall) as url:
        loop = OpenLoop(url, token="", next_body=lambda: b"{}", connections=1, clock=clock)
        sample = loop.measure(per_second=100, seconds=0.4)
        loop.close()
    # Twenty of forty requests were due while the first was not answered; a closed loop would have seen one wait.
    assert sample.value == sample.p99_ms
    assert sample.value > 150
    assert sample.p50_ms is not None
    assert sample.p50_ms > 10


def test_a_refusal_is_no_measurement() -> None:
    with server(_OK.replace(b"200", b"503")) as url:
        loop = OpenLoop(url, token="", next_body=lambda: b"{}", connections=1)
        with pytest.raises(LoadError, match="answered 503"):
            loop.measure(per_second=100, seconds=0.1)
        loop.close()
