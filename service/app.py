"""The application: what a worker is made of, in the order it is put together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

from aiohttp import web

from service.background import Background
from service.counters.client import CounterClient, open_counters
from service.domain.sealing import Sealer, parse_encryption_key
from service.governance.access import Gatekeeper
from service.governance.alerts import AlertDeliverer, parse_webhooks
from service.governance.changes.run import Changes
from service.governance.engine import build_engine
from service.governance.limits.report import LimitReports
from service.governance.maintenance.run import Maintainer
from service.governance.maintenance.work import Retention
from service.governance.measures import EngineMeasures
from service.governance.probes import Probes
from service.governance.quota import QuotaReader
from service.governance.reconcile import Reconciler
from service.governance.tree.cache import TreeCache
from service.governance.tree.entities import EntityReader
from service.governance.tree.read import TreeReader
from service.governance.usage_reports import UsageReports
from service.http.alerts import ALERT_STORE
from service.http.answers import ANSWERS
from service.http.audit_logs import AUDIT_STORE
from service.http.auth import GATEKEEPER, authorize_principal
from service.http.body import REFUSE_UNKNOWN_FIELDS
from service.http.calls import ADMISSION, SETTLEMENT
from service.http.changing import CHANGES
from service.http.cors import ORIGINS, answer_preflights, name_allowed_origin, parse_origins
from service.http.customers import MASKED_TREE_READER, TREE_READER
from service.http.health import LIFECYCLE, PROBES, Lifecycle
from service.http.large_answers import LARGE_ANSWERS, LargeAnswers
from service.http.limit_reports import LIMIT_REPORTS
from service.http.malformed import answer_malformed_requests
from service.http.metrics import MEASURING, metrics
from service.http.middleware import answer_failures
from service.http.networks import TRUSTED_NETWORKS, Networks
from service.http.openapi import version
from service.http.reading import ENTITY_READER
from service.http.routes import add_routes
from service.http.tracing import TRACING, trace_requests
from service.http.usage_events import LEDGER_STORE
from service.http.usage_reports import USAGE_REPORTS
from service.http.virtual_keys import QUOTA_READER, ROTATION_COOLDOWN
from service.http.webhooks import WebhookSender
from service.settings import Settings, parse_networks
from service.store.migrations import read_migrations
from service.store.postgres import Store, open_store
from service.telemetry.loop_lag import LoopLag
from service.telemetry.measuring import Measuring
from service.telemetry.metrics import Cache, Parts
from service.telemetry.siblings import Siblings
from service.telemetry.tracing import Tracing

Watch = Callable[[asyncio.Event], Awaitable[None]]

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
    origins = parse_origins(settings.allowed_origins)
    # Outermost first. What is off costs nothing.
    middlewares = [trace_requests if tracing else None, answer_failures, answer_preflights if origins else None]
    app = web.Application(
        middlewares=[*filter(None, middlewares), authorize_principal],
        client_max_size=settings.max_body_kb * 1024,
    )
    app[LIFECYCLE] = Lifecycle()
    app[ROTATION_COOLDOWN] = timedelta(seconds=settings.rotation_cooldown_seconds)
    app[REFUSE_UNKNOWN_FIELDS] = settings.unknown_fields == "refuse"
    app[TRUSTED_NETWORKS] = Networks(parse_networks(settings.trusted_networks))
    if tracing:
        app[TRACING] = tracing
    if origins:
        app[ORIGINS] = origins
        app.on_response_prepare.append(name_allowed_origin)
    answer_malformed_requests()

    async def worker(app: web.Application) -> AsyncIterator[None]:
        store, counters = await open_store(settings), open_counters(settings)
        sealer = Sealer(parse_encryption_key(settings.encryption_key))
        measures, loop_lag, reconciler = EngineMeasures(), LoopLag(), Reconciler(store, counters)
        engine = build_engine(settings, store, counters, sealer=sealer, measures=measures, clock=clock)
        app[ADMISSION], app[SETTLEMENT] = engine.admission, engine.settlement
        app[PROBES] = Probes(store, counters, sealer=sealer, migrations=read_migrations())
        trees = _add_readers(app, settings, (store, counters), sealer=sealer, clock=clock)
        parts = Parts(
            version=version(),
            store=store,
            counters=counters,
            probes=app[PROBES],
            reconciler=reconciler,
            engine=measures,
            loop_lag=loop_lag,
            caches={**trees, "policies": engine.policies},
            answer_seconds=app[ANSWERS].seconds,
            answers=app[ANSWERS].counts,
        )
        app[MEASURING] = Measuring(parts, siblings)
        send_alert = WebhookSender(allow_private=settings.alert_webhook_allow_private == "on")
        loops: dict[str, Watch] = {
            "probes": app[PROBES].watch,
            "policies": engine.watch.watch,
            "expired holds": engine.expiry.watch,
            "reconciler": reconciler.watch,
            "loop lag": loop_lag.watch,
        }
        if webhooks := parse_webhooks(settings.alert_webhook_url):
            secret = settings.alert_webhook_secret
            loops["alerts"] = AlertDeliverer(store, send_alert, webhooks=webhooks, secret=secret, clock=clock).watch
        if settings.maintenance_interval_minutes:
            retention = Retention(settings.ledger_retention, settings.idempotency_days)
            interval = timedelta(minutes=settings.maintenance_interval_minutes)
            loops["maintenance"] = Maintainer(
                store,
                app[CHANGES],
                database_url=settings.database_url,
                retention=retention,
                interval=interval,
                clock=clock,
            ).watch
        background = Background(loops, app[LIFECYCLE])
        async with app[MEASURING].answering_siblings():
            yield
        await background.end()
        await send_alert.close()
        await engine.group_commit.close()
        await counters.close()
        await store.close()

    app.cleanup_ctx.append(worker)
    add_routes(app, scopes={metrics: settings.metrics_scope}, log_each=settings.access_log == "on")
    return app


def _add_readers(
    app: web.Application,
    settings: Settings,
    stores: tuple[Store, CounterClient],
    *,
    sealer: Sealer,
    clock: Callable[[], datetime],
) -> dict[str, Cache]:
    """What reads and changes the configuration; answers the caches of trees."""
    store, counters = stores
    if settings.asks_for_tokens:
        app[GATEKEEPER] = Gatekeeper(store, sealer, admin_token=settings.admin_token, clock=clock)
    caches: dict[str, Cache] = {}
    for name, key, shows_values in (("tree", TREE_READER, True), ("masked_tree", MASKED_TREE_READER, False)):
        # Where no token is asked for, nobody reads the masked tree.
        share = 2 if settings.asks_for_tokens else 1
        caches[name] = cache = TreeCache(settings.tree_cache_mb * 1024 * 1024 // share)
        app[key] = TreeReader(store, counters, sealer=sealer if shows_values else None, cache=cache, clock=clock)
    app[ENTITY_READER] = EntityReader(store, counters, sealer=sealer, clock=clock)
    app[LARGE_ANSWERS] = LargeAnswers(settings.large_answers)
    app[AUDIT_STORE] = app[ALERT_STORE] = app[LEDGER_STORE] = store
    app[LIMIT_REPORTS] = LimitReports(store, counters, clock=clock)
    app[USAGE_REPORTS] = UsageReports(store, clock=clock)
    app[CHANGES] = Changes(store, sealer=sealer, clock=clock)
    app[QUOTA_READER] = QuotaReader(store, app[ENTITY_READER], sealer=sealer, clock=clock)
    return caches
