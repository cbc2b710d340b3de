"""Wiring and lifecycle: what a worker is made of, and how it starts, drains and stops."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from aiohttp import web

from service.counters.client import open_counters
from service.domain.sealing import Sealer, parse_encryption_key
from service.governance.access import Gatekeeper
from service.governance.changes.run import Changes
from service.governance.engine import build_engine
from service.governance.measures import EngineMeasures
from service.governance.probes import Probes
from service.governance.quota import QuotaReader
from service.governance.reconcile import Reconciler
from service.governance.tree.cache import TreeCache
from service.governance.tree.entities import EntityReader
from service.governance.tree.read import TreeReader
from service.http.answers import ANSWERS
from service.http.audit_logs import AUDIT_STORE
from service.http.auth import GATEKEEPER, authorize_principal
from service.http.body import REFUSE_UNKNOWN_FIELDS
from service.http.calls import ADMISSION, SETTLEMENT
from service.http.changing import CHANGES
from service.http.cors import ORIGINS, answer_preflights, name_allowed_origin, parse_origins
from service.http.customers import MASKED_TREE_READER, TREE_READER
from service.http.health import LIFECYCLE, PROBES, Lifecycle
from service.http.malformed import answer_malformed_requests
from service.http.metrics import MEASURING, metrics
from service.http.middleware import add_headers, answer_failures
from service.http.networks import TRUSTED_NETWORKS, Networks
from service.http.openapi import version
from service.http.reading import ENTITY_READER
from service.http.routes import add_routes
from service.http.tracing import TRACING, trace_requests
from service.http.virtual_keys import QUOTA_READER, ROTATION_COOLDOWN
from service.settings import Settings, parse_networks
from service.store.migrations import read_migrations
from service.store.postgres import open_store
from service.telemetry.loop_lag import LoopLag
from service.telemetry.measuring import Measuring
from service.telemetry.metrics import Cache, Parts
from service.telemetry.siblings import Siblings
from service.telemetry.tracing import Tracing, check_tracing, make_provider

log = structlog.get_logger()

# Longer than a gateway keeps an idle connection (60 s is the common default): the side that reuses must not be
# surprised.
_KEEPALIVE_SECONDS = 75.0
# Draining and finishing what is under way together: within the 30 s an orchestrator grants.
_STOP_SECONDS = 28.0
_BACKLOG = 1024
_FINISH_BACKGROUND_SECONDS = 0.5
_CANCEL_ATTEMPTS = 50
_CANCEL_SECONDS = 0.1
_ALONE = Siblings()


def utc_now() -> datetime:
    return datetime.now(UTC)


def build_app(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    siblings: Siblings = _ALONE,
    tracing: Tracing | None = None,
) -> web.Application:
    """The application; its stores are opened when it starts and closed when it stops."""
    app = web.Application(
        middlewares=[*([trace_requests] if tracing else []), answer_failures, answer_preflights, authorize_principal],
        client_max_size=settings.max_body_kb * 1024,
    )
    app[LIFECYCLE] = Lifecycle()
    app[ROTATION_COOLDOWN] = timedelta(seconds=settings.rotation_cooldown_seconds)
    app[REFUSE_UNKNOWN_FIELDS] = settings.unknown_fields == "refuse"
    app[TRUSTED_NETWORKS] = Networks(parse_networks(settings.trusted_networks))
    if tracing:
        app[TRACING] = tracing
    if origins := parse_origins(settings.allowed_origins):
        app[ORIGINS] = origins
    answer_malformed_requests()

    async def stores(app: web.Application) -> AsyncIterator[None]:
        store = await open_store(settings)
        counters = open_counters(settings)
        sealer = Sealer(parse_encryption_key(settings.encryption_key))
        if settings.asks_for_tokens:
            app[GATEKEEPER] = Gatekeeper(store, sealer, admin_token=settings.admin_token, clock=clock)
        caches: dict[str, Cache] = {}
        for key, shows_values in ((TREE_READER, True), (MASKED_TREE_READER, False)):
            # Where no token is asked for, nobody reads the masked tree.
            share = 2 if settings.asks_for_tokens else 1
            cache = TreeCache(settings.tree_cache_mb * 1024 * 1024 // share)
            app[key] = TreeReader(store, counters, sealer=sealer if shows_values else None, cache=cache, clock=clock)
            caches["tree" if shows_values else "masked_tree"] = cache
        app[ENTITY_READER] = EntityReader(store, counters, sealer=sealer, clock=clock)
        app[AUDIT_STORE] = store
        app[CHANGES] = Changes(store, sealer=sealer, clock=clock)
        app[QUOTA_READER] = QuotaReader(store, app[ENTITY_READER], sealer=sealer, clock=clock)
        app[PROBES] = Probes(store, counters, sealer=sealer, migrations=read_migrations())
        measures = EngineMeasures()
        engine = build_engine(settings, store, counters, sealer=sealer, measures=measures, clock=clock)
        caches["policies"] = engine.policies
        app[ADMISSION], app[SETTLEMENT] = engine.admission, engine.settlement
        reconciler, loop_lag = Reconciler(store, counters), LoopLag()
        parts = Parts(
            version=version(),
            store=store,
            counters=counters,
            probes=app[PROBES],
            reconciler=reconciler,
            engine=measures,
            loop_lag=loop_lag,
            caches=caches,
            answer_seconds=app[ANSWERS].seconds,
            answers=app[ANSWERS].counts,
        )
        app[MEASURING] = Measuring(parts, siblings)
        stop = asyncio.Event()
        background = [
            asyncio.create_task(app[PROBES].watch(stop), name="probes"),
            asyncio.create_task(engine.watch.watch(stop), name="policies"),
            asyncio.create_task(engine.expiry.watch(stop), name="expired holds"),
            asyncio.create_task(reconciler.watch(stop), name="reconciler"),
            asyncio.create_task(loop_lag.watch(stop), name="loop lag"),
        ]
        for task in background:
            task.add_done_callback(partial(_stop_when_failed, app[LIFECYCLE]))
        async with app[MEASURING].answering_siblings():
            yield
        stop.set()
        await _end(background)
        await engine.group_commit.close()
        await counters.close()
        await store.close()

    app.on_response_prepare.extend((add_headers, name_allowed_origin))
    app.cleanup_ctx.append(stores)
    add_routes(app, scopes={metrics: settings.metrics_scope}, log_each=settings.access_log == "on")
    return app


async def serve(settings: Settings, *, reuse_port: bool, stop: asyncio.Event, siblings: Siblings = _ALONE) -> None:
    """Serve until told to stop: by SIGTERM after the drain delay, by SIGINT, a second signal or `stop` at once.

    Raises OSError when the port cannot be listened on.
    """
    tracing = Tracing(make_provider(os.environ, version=version())) if check_tracing(os.environ) else None
    app = build_app(settings, siblings=siblings, tracing=tracing)
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=_KEEPALIVE_SECONDS,
        shutdown_timeout=_STOP_SECONDS - settings.drain_seconds,
    )
    drain = asyncio.Event()
    _on_signals(stop, drain)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port, backlog=_BACKLOG, reuse_port=reuse_port)
        await site.start()
        log.info("serving", host=settings.host, port=settings.port)
        await _first(stop, drain)
        app[LIFECYCLE].draining = True
        if not stop.is_set():
            log.info("draining", seconds=settings.drain_seconds)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), settings.drain_seconds)
        await site.stop()
    finally:
        await runner.cleanup()
        if tracing:
            await tracing.close()
    log.info("stopped")
    if app[LIFECYCLE].failed:
        raise SystemExit(1)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Let the tasks finish what they are at; cancel what a store that does not answer keeps.

    Once is not always enough: before Python 3.12 a wait that completes in the moment it is cancelled loses the
    cancellation (`asyncio.wait_for`, which redis-py sends with).
    """
    _, pending = await asyncio.wait(tasks, timeout=_FINISH_BACKGROUND_SECONDS)
    for _ in range(_CANCEL_ATTEMPTS):
        if not pending:
            return
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_SECONDS)
    log.error("background tasks did not end", tasks=[task.get_name() for task in pending])


def _on_signals(stop: asyncio.Event, drain: asyncio.Event) -> None:
    """SIGTERM drains, again it stops; SIGINT stops."""

    def terminate() -> None:
        (stop if drain.is_set() else drain).set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGTERM, terminate)


def _stop_when_failed(lifecycle: Lifecycle, task: asyncio.Task[None]) -> None:
    """A background loop that died leaves the worker half alive: better a new one."""
    if task.cancelled() or (error := task.exception()) is None:
        return
    log.critical("background task failed, stopping", task=task.get_name(), kind=type(error).__name__)
    lifecycle.failed = True
    signal.raise_signal(signal.SIGTERM)


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
