"""Which request and trace a log line belongs to: known where it is written, asked for only when one is."""

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_request_id: ContextVar[Callable[[], str] | None] = ContextVar("request_id", default=None)
_trace_id: ContextVar[str] = ContextVar("trace_id", default="")


@contextmanager
def within_trace(trace_id: str) -> Iterator[None]:
    """What is logged meanwhile names the trace."""
    token = _trace_id.set(trace_id)
    try:
        yield
    finally:
        _trace_id.reset(token)


def enter_request(read_request_id: Callable[[], str]) -> Callable[[], None]:
    """What is logged from now on names the request; call what this answers when it ends.

    No context manager, which would cost more: this is on the way of every request.
    """
    token = _request_id.set(read_request_id)
    return lambda: _request_id.reset(token)


def add_correlation(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor."""
    if (read_request_id := _request_id.get()) is not None:
        event.setdefault("request_id", read_request_id())
    if trace_id := _trace_id.get():
        event["trace_id"] = trace_id
    return event
