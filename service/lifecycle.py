"""The life of a worker: it serves, drains when told to stop, finishes what is under way, and ends."""

import asyncio
import gc
import os
import signal
from contextlib import suppress

import structlog
from aiohttp import web

from service.app import build_app
from service.http.health import LIFECYCLE
from service.http.openapi import version
from service.settings import Settings
from service.telemetry.siblings import Siblings
from service.telemetry.tracing import Tracing, check_tracing, make_provider

log = structlog.get_logger()

# Longer than a gateway keeps an idle connection (60 s is the common default): the side that reuses must not be
# surprised.
_KEEPALIVE_SECONDS = 75.0
# Draining and finishing what is under way together: within the 30 s an orchestrator grants.
_STOP_SECONDS = 28.0
_BACKLOG = 1024
_YOUNG_OBJECTS = 10_000
_ALONE = Siblings()


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
        _keep_what_is_loaded()
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


def _keep_what_is_loaded() -> None:
    """Modules and wiring are never garbage: looking through them for some held the event loop for 25 ms each time."""
    gc.collect()
    gc.freeze()
    # Hardly anything of a request is a cycle: looking for them after every 700 objects was a twentieth of its time.
    gc.set_threshold(_YOUNG_OBJECTS)


def _on_signals(stop: asyncio.Event, drain: asyncio.Event) -> None:
    """SIGTERM drains, again it stops; SIGINT stops."""

    def terminate() -> None:
        (stop if drain.is_set() else drain).set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGTERM, terminate)


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
