"""Is the process alive, and should traffic come? Neither answer waits for a store."""

import msgspec
from aiohttp import web

from service.governance.probes import OK, Probes
from service.http.contract import Contract, Route
from service.http.errors import json_response, unavailable


class Lifecycle(msgspec.Struct):
    """`draining`: told to stop, and serving until the gateway has noticed; `failed`: for a fault of its own."""

    draining: bool = False
    failed: bool = False


PROBES = web.AppKey("probes", Probes)
LIFECYCLE = web.AppKey("lifecycle", Lifecycle)


async def health(request: web.Request) -> web.Response:
    """200 while the process serves; `components` is what the background probes last saw."""
    components = request.app[PROBES].components
    return json_response(msgspec.json.encode({"status": "ok", "components": components}))


async def ready(request: web.Request) -> web.Response:
    """200 when traffic should come, else 503 with the reason.

    Without Redis the service is ready: it reads usage from the ledger.
    """
    if request.app[LIFECYCLE].draining:
        raise unavailable("not ready: shutting down")
    components = request.app[PROBES].components
    if components["postgres"] != OK:
        raise unavailable(f"not ready: postgres: {components['postgres']}")
    return json_response(msgspec.json.encode({"status": "ready", "components": components}))


_ANSWER = {"status": str, "components": dict[str, str]}
ROUTES = (
    Route("GET", "/health", "open", health, Contract(says="Does the process serve?", answer=_ANSWER)),
    Route("GET", "/ready", "open", ready, Contract(says="Should traffic come?", answer=_ANSWER)),
)
