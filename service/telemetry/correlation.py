"""Which request and trace a log line belongs to: known where it is written, asked for only when one is."""

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
# Who reads the id of a request, and the request.
_Entered: TypeAlias = tuple[Callable[[Any], str], Any] | None

_request: ContextVar[_Entered] = ContextVar("request", default=None)
_trace_id: ContextVar[str] = ContextVar("trace_id", default="")


@contextmanager
def within_trace(trace_id: str) -> Iterator[None]:
    """What is logged meanwhile names the trace."""
    token = _trace_id.set(trace_id)
    try:
        yield
    finally:
        _trace_id.reset(token)


def enter_request(read_request_id: Callable[[T], str], request: T) -> "Token[_Entered]":
    """What is logged from now on names the request; call `leave_request` when it ends.

    No context manager, which would cost more: this is on the way of every request.
    """
    return _request.set((read_request_id, request))


def leave_request(entered: "Token[_Entered]") -> None:
    _request.reset(entered)


def add_correlation(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor."""
    if (entered := _request.get()) is not None:
        read_request_id, request = entered
        event.setdefault("request_id", read_request_id(request))
    if trace_id := _trace_id.get():
        event["trace_id"] = trace_id
    return event
