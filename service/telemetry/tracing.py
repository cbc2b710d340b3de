"""Tracing by OpenTelemetry: HTTP → use case → Postgres and Redis, when the standard variables say where spans go.

Nothing in the service knows of it. While it is off, nothing is called for it; when it is on, the functions of the
tables below are wrapped from here. A span says what was done and how long it took: no statement, argument, path or
message of an error is in it, for they may hold secrets. What goes on beside the requests is not traced.
"""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from service.counters.batching import ScriptBatcher
from service.counters.client import CounterClient
from service.governance.access import Gatekeeper
from service.governance.admission.authorize import Admission
from service.governance.changes.run import Changes
from service.governance.quota import QuotaReader
from service.governance.settlement.settle import Settlement
from service.governance.tree.entities import EntityReader
from service.governance.tree.read import TreeReader
from service.store.queries import queries
from service.telemetry.correlation import within_trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

# The use cases that have a span of their own.
_USE_CASES: tuple[tuple[type, str, str], ...] = (
    (Gatekeeper, "identify", "identify token"),
    (TreeReader, "page", "read tree"),
    (TreeReader, "customer", "read tree"),
    (EntityReader, "read", "read entities"),
    (QuotaReader, "read", "read quota"),
    (Changes, "run", "change"),
    (Admission, "authorize", "authorize"),
    (Settlement, "settle", "settle"),
    (Settlement, "release", "release"),
)
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_FLUSH_SECONDS = 2.0
# The message of an error may quote what a client sent.
_NO_MESSAGES: dict[str, Any] = {"record_exception": False, "set_status_on_exception": False}

Describe = Callable[[tuple[Any, ...]], tuple[str, dict[str, Any]]]


class TracingError(Exception):
    """Spans are asked for and cannot be sent; the message says what to do."""


def check_tracing(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables say where spans go. Raises TracingError when they cannot be sent there."""
    off = (
        environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none"
    )
    if off or not any(environment.get(name) for name in _ENDPOINTS):
        return False
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        raise TracingError("OTLP is spoken as http/protobuf only: set OTEL_EXPORTER_OTLP_PROTOCOL to that")
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: PLC0415
        import opentelemetry.sdk.trace  # noqa: F401, PLC0415
    except ImportError as error:
        raise TracingError("tracing is not installed: pip install 'llm-governance[otel]'") from error
    return True


def make_provider(environment: Mapping[str, str], *, version: str) -> "TracerProvider":
    """What collects spans and sends them by OTLP, with whatever else the standard variables say."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    name = {} if named else {"service.name": "governance"}
    # Ended by `Tracing.close` in bounded time, not at the interpreter's exit.
    provider = TracerProvider(resource=Resource.create({"service.version": version, **name}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Tracing:
    """Spans of this process, from when it is made until `close`."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("service")
        self._undo = ExitStack()
        for owner, method, name in _USE_CASES:
            self._wrap(owner, method, _always(name, {}))
        self._wrap(CounterClient, "run", _round_trip)
        self._wrap(ScriptBatcher, "run", _script)
        for name in queries.available_queries:
            self._wrap(
                queries, name, _always(f"postgres {name}", {"db.system.name": "postgresql", "db.operation.name": name})
            )

    @contextmanager
    def request(self, operation: str, method: str, headers: Mapping[str, str]) -> Iterator[Callable[[int], None]]:
        """Around one request, as a part of the trace its headers name; what it yields is told the answer's status."""
        from opentelemetry.trace import SpanKind, StatusCode, format_trace_id  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        parent = TraceContextTextMapPropagator().extract(headers)
        attributes = {"http.request.method": method, "governance.operation": operation}
        with self._tracer.start_as_current_span(operation, parent, SpanKind.SERVER, attributes, **_NO_MESSAGES) as span:

            def answered(status: int) -> None:
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    span.set_status(StatusCode.ERROR)

            with within_trace(format_trace_id(span.get_span_context().trace_id)):
                yield answered

    async def close(self) -> None:
        """Take the wrappings off, and send what is left, in bounded time."""
        self._undo.close()
        # The exporter tries for longer than a worker has to stop; a daemon does not hold its exit.
        shutdown = threading.Thread(target=self._provider.shutdown, daemon=True)
        shutdown.start()
        await asyncio.to_thread(shutdown.join, _FLUSH_SECONDS)

    def _wrap(self, owner: Any, name: str, describe: Describe) -> None:
        function = getattr(owner, name)
        if inspect.iscoroutinefunction(function):
            wrapped: Any = self._around_answer(function, describe)
        elif inspect.isasyncgenfunction(function):
            wrapped = self._around_rows(function, describe)
        else:
            return  # aiosql's cursors, which nobody uses
        setattr(owner, name, wrapped)
        self._undo.callback(setattr, owner, name, function)

    def _around_answer(self, function: Callable[..., Any], describe: Describe) -> Callable[..., Any]:
        from opentelemetry.trace import use_span  # noqa: PLC0415

        @wraps(function)
        async def traced(*args: Any, **kwargs: Any) -> Any:
            if not _in_request():
                return await function(*args, **kwargs)
            with self._span(describe(args)) as span, use_span(span, **_NO_MESSAGES):
                return await function(*args, **kwargs)

        return traced

    def _around_rows(self, function: Callable[..., Any], describe: Describe) -> Callable[..., Any]:
        @wraps(function)
        async def traced(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            if not _in_request():
                async for row in function(*args, **kwargs):
                    yield row
                return
            # Not made current: a generator may be ended in another context than it was begun in.
            with self._span(describe(args)):
                async for row in function(*args, **kwargs):
                    yield row

        return traced

    @contextmanager
    def _span(self, described: tuple[str, dict[str, Any]]) -> "Iterator[Span]":
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        name, attributes = described
        span = self._tracer.start_span(name, attributes=attributes)
        try:
            yield span
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            span.end()


def _in_request() -> bool:
    from opentelemetry.trace import get_current_span  # noqa: PLC0415

    return get_current_span().get_span_context().is_valid


def _always(name: str, attributes: dict[str, Any]) -> Describe:
    return lambda _args: (name, attributes)


def _script(args: tuple[Any, ...]) -> tuple[str, dict[str, Any]]:
    """Of `ScriptBatcher.run`: by the name of its script."""
    return f"redis {args[1].script.name}", {"db.system.name": "redis"}


def _round_trip(args: tuple[Any, ...]) -> tuple[str, dict[str, Any]]:
    """Of `CounterClient.run`: by the names of its scripts."""
    calls = args[1]
    names = sorted({call.script.name for call in calls})
    return f"redis {' '.join(names) or 'ping'}", {"db.system.name": "redis", "db.operation.batch.size": len(calls)}
