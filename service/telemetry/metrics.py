"""THE table of metrics: what /metrics tells, and where each number is read when somebody asks.

Nothing is labelled with what grows with customers, virtual keys, models or what clients send: each label has a fixed
few values. Every series also has the label `worker`.
"""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import msgspec

from service.counters.client import CounterClient
from service.domain.measures import Distribution
from service.governance.measures import EngineMeasures
from service.governance.probes import OK, Probes
from service.governance.reconcile import Reconciler
from service.store.postgres import Store
from service.telemetry.loop_lag import LoopLag

# One number, or one by the value of the only label, or by the values of all.
Reading = float | Distribution | Mapping[str, float | Distribution] | Mapping[tuple[str, str], float]


class Cache(Protocol):
    """What a cache counts."""

    hits: int
    misses: int
    size_bytes: int


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a worker that count. `answer_seconds` and `answers` are of HTTP: by operation, and its status."""

    version: str
    store: Store
    counters: CounterClient
    probes: Probes
    reconciler: Reconciler
    engine: EngineMeasures
    loop_lag: LoopLag
    caches: Mapping[str, Cache]
    answer_seconds: Mapping[str, Distribution]
    answers: Mapping[tuple[str, str], float]


class Metric(msgspec.Struct, frozen=True):
    """A row of the table."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    says: str
    read: Callable[[Parts], Reading]
    labels: tuple[str, ...] = ()


METRICS = (
    # HTTP
    Metric(
        "governance_http_request_seconds",
        "histogram",
        "From the head of a request until its answer is ready, or sent if it is streamed, by operation.",
        lambda parts: parts.answer_seconds,
        ("operation",),
    ),
    Metric(
        "governance_http_answers_total",
        "counter",
        "Answers, by operation and status.",
        lambda parts: parts.answers,
        ("operation", "status"),
    ),
    # Decisions and usage
    Metric(
        "governance_decisions_total",
        "counter",
        "Decisions on calls, by type.",
        lambda parts: parts.engine.decisions,
        ("decision",),
    ),
    Metric(
        "governance_degraded_decisions_total",
        "counter",
        "Decisions made without live counters, by what was done instead.",
        lambda parts: parts.engine.degraded_decisions,
        ("policy",),
    ),
    Metric(
        "governance_usage_events_total",
        "counter",
        "Reported usage, by what became of it.",
        lambda parts: parts.engine.usage_events,
        ("result",),
    ),
    Metric(
        "governance_unpriced_usage_total",
        "counter",
        "Usage booked although no price is known.",
        lambda parts: parts.engine.unpriced_events,
    ),
    Metric(
        "governance_batch_events",
        "histogram",
        "Events of usage in one commit.",
        lambda parts: parts.engine.batch_events,
    ),
    Metric(
        "governance_batch_wait_seconds",
        "histogram",
        "From the arrival of an event to the commit it is in.",
        lambda parts: parts.engine.batch_wait_seconds,
    ),
    Metric(
        "governance_queue_depth",
        "gauge",
        "What waits, by queue.",
        lambda parts: {name: depth() for name, depth in parts.engine.queues.items()},
        ("queue",),
    ),
    Metric("governance_holds_open", "gauge", "Admitted, unfinished calls.", lambda parts: parts.engine.holds_open),
    Metric(
        "governance_holds_expired_total",
        "counter",
        "Holds nobody settled or released in time.",
        lambda parts: parts.engine.holds_expired,
    ),
    # Alerts
    Metric(
        "governance_alerts_pending", "gauge", "Alerts not delivered yet.", lambda parts: parts.engine.alerts_pending
    ),
    Metric(
        "governance_webhook_deliveries_total",
        "counter",
        "Attempts to deliver an alert, by result.",
        lambda parts: parts.engine.webhook_deliveries,
        ("result",),
    ),
    # Redis
    Metric(
        "governance_redis_seconds",
        "histogram",
        "Round trips to Redis.",
        lambda parts: parts.counters.batcher.traffic.seconds,
    ),
    Metric(
        "governance_redis_errors_total",
        "counter",
        "Calls to Redis that failed: no_answer, refused, too_many, closed, not_asked while the breaker is open.",
        lambda parts: {str(reason): count for reason, count in parts.counters.batcher.traffic.errors.items()},
        ("kind",),
    ),
    Metric(
        "governance_redis_breaker_open",
        "gauge",
        "1 while Redis is not asked because it did not answer.",
        lambda parts: float(parts.counters.batcher.breaker_is_open),
    ),
    Metric(
        "governance_redis_breaker_opened_total",
        "counter",
        "Outages of Redis the breaker saw.",
        lambda parts: parts.counters.batcher.times_breaker_opened,
    ),
    # Postgres
    Metric(
        "governance_postgres_seconds",
        "histogram",
        "How long a connection to Postgres was in use for a statement, or a few.",
        lambda parts: parts.store.round_trips.seconds,
    ),
    Metric(
        "governance_postgres_wait_seconds",
        "histogram",
        "How long a connection to Postgres was waited for.",
        lambda parts: parts.store.wait_seconds,
    ),
    Metric(
        "governance_postgres_errors_total",
        "counter",
        "Uses of Postgres that failed.",
        lambda parts: parts.store.round_trips.errors,
        ("kind",),
    ),
    Metric(
        "governance_postgres_connections",
        "gauge",
        "Connections to Postgres, used and idle.",
        lambda parts: parts.store.connections(),
        ("state",),
    ),
    # Both stores
    Metric(
        "governance_store_up",
        "gauge",
        "1 when the last probe of the store found nothing wrong.",
        lambda parts: {store: float(state == OK) for store, state in parts.probes.components.items()},
        ("store",),
    ),
    Metric(
        "governance_reconcile_drift_meters_total",
        "counter",
        "Totals of the ledger the reconciler found missing or behind in Redis.",
        lambda parts: parts.reconciler.drift_meters,
    ),
    # The worker
    Metric(
        "governance_cache_hits_total",
        "counter",
        "What was answered from memory, by cache.",
        lambda parts: {name: cache.hits for name, cache in parts.caches.items()},
        ("cache",),
    ),
    Metric(
        "governance_cache_misses_total",
        "counter",
        "What was loaded because it was not, or no longer, in memory, by cache.",
        lambda parts: {name: cache.misses for name, cache in parts.caches.items()},
        ("cache",),
    ),
    Metric(
        "governance_cache_bytes",
        "gauge",
        "What a cache holds.",
        lambda parts: {name: cache.size_bytes for name, cache in parts.caches.items()},
        ("cache",),
    ),
    Metric(
        "governance_loop_lag_seconds",
        "histogram",
        "How late the event loop was to do what was due.",
        lambda parts: parts.loop_lag.seconds,
    ),
    Metric("governance_build_info", "gauge", "1, with the version.", lambda parts: {parts.version: 1}, ("version",)),
)
