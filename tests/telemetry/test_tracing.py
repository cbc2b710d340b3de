"""Tracing: whole when it is on, nothing at all when it is off, and never a secret or a delay."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import aiohttp
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.counters.client import CounterClient
from service.governance.tree.read import TreeReader
from service.settings import Settings
from service.store.queries import queries
from service.telemetry.tracing import Tracing, TracingError, check_tracing
from tests.api.conftest import closed_port
from tests.faults.processes import free_port, governance, running, wait_for_status
from tests.telemetry.collector import collecting
from tests.waiting import until

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="governance-") as folder:
        yield Path(folder)


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    return {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "GOVERNANCE_ENCRYPTION_KEY": settings.encryption_key,
        "GOVERNANCE_AUTH": "off",
        "GOVERNANCE_DRAIN_SECONDS": "0",
        "GOVERNANCE_LOG_FORMAT": "json",
        "GOVERNANCE_ACCESS_LOG": "on",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "PORT": str(free_port()),
    }


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_it_is_on_where_the_standard_variables_say_where_spans_go(environment: dict[str, str], expected: bool) -> None:
    assert check_tracing(environment) is expected


def test_a_protocol_that_is_not_spoken_is_refused(folder: Path, environment: dict[str, str]) -> None:
    refused = governance(
        "serve", folder=folder, environment=environment | ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    )
    assert refused.exit_code == 1
    assert "http/protobuf only" in refused.output
    assert "Traceback" not in refused.output


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(TracingError, match=r"pip install 'llm-governance\[otel\]'"):
        check_tracing(ENDPOINT)
    assert not check_tracing({})


def test_while_it_is_off_nothing_of_it_is_loaded_or_wrapped() -> None:
    # redis-py loads the library's metrics by itself, when they are installed.
    unwanted = {"opentelemetry.sdk.trace", "opentelemetry.exporter"}
    look = f"import sys, service.cli; sys.exit(bool({unwanted} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", look], cwd=REPOSITORY, check=False).returncode == 0
    for function in (CounterClient.run, TreeReader.page, queries.find_customer):
        assert not hasattr(function, "__wrapped__")


async def test_a_request_is_one_trace_from_its_caller_to_both_stores(folder: Path, environment: dict[str, str]) -> None:
    async with collecting() as collector:
        environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with running("serve", folder=folder, environment=environment) as service:
            port = int(environment["PORT"])
            await wait_for_status(port, "/ready", 200)
            headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-Id": "sesame"}
            url = f"http://127.0.0.1:{port}/api/governance/customers?search=sesame"
            async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
                assert response.status == 200

            async def arrived() -> bool:
                return bool(collector.named("list_customers"))

            await until(arrived)
            service.send(signal.SIGTERM)
            assert await service.exit_code() == 0
        (server,) = collector.named("list_customers")
        assert (server.trace, server.parent) == (TRACE, CALLER)
        assert server.attributes == {
            "http.request.method": "GET",
            "governance.operation": "list_customers",
            "http.response.status_code": "200",
        }
        (use_case,) = collector.named("read tree")
        assert use_case.parent == server.id
        below = {span.name: span for span in collector.spans if span.parent == use_case.id}
        assert below["postgres find_customer_page"].attributes["db.system.name"] == "postgresql"
        assert {span.trace for span in collector.spans} == {TRACE}  # neither probes nor the reconciler
        assert (collector.service["service.name"], b"sesame" in collector.raw) == ("governance", False)
        logged = [json.loads(line) for line in service.output.splitlines() if '"list_customers"' in line]
        assert [line["trace_id"] for line in logged] == [TRACE]


async def test_a_collector_that_is_not_there_delays_neither_answers_nor_the_end(
    folder: Path, environment: dict[str, str]
) -> None:
    environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{closed_port()}"}
    with running("serve", folder=folder, environment=environment) as service:
        port = int(environment["PORT"])
        await wait_for_status(port, "/ready", 200)
        async with aiohttp.ClientSession() as session:
            for _ in range(20):
                async with session.get(f"http://127.0.0.1:{port}/api/governance/customers") as response:
                    assert response.status == 200
        begun_seconds = monotonic()
        service.send(signal.SIGTERM)
        assert await service.exit_code() == 0
        assert monotonic() - begun_seconds < 6


async def test_what_fails_is_marked_by_its_kind_and_says_nothing_of_its_message(
    counters: CounterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> list[bytes]:
        raise ValueError("sesame")

    monkeypatch.setattr(CounterClient, "run", fail)
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider)
    with pytest.raises(ValueError, match="sesame"), tracing.request("an_operation", "GET", {}):
        await counters.run([])
    await tracing.close()
    assert CounterClient.run is fail
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert spans["redis ping"].attributes is not None
    assert spans["redis ping"].attributes["error.type"] == "ValueError"
    assert "sesame" not in "".join(span.to_json() for span in spans.values())
