"""/metrics: what Prometheus scrapes, for all workers at once whichever of them is asked."""

from aiohttp import hdrs, web

from service.http.contract import Contract, Route
from service.telemetry.exposition import CONTENT_TYPE
from service.telemetry.measuring import Measuring

MEASURING = web.AppKey("measuring", Measuring)


async def metrics(request: web.Request) -> web.Response:
    return web.Response(body=await request.app[MEASURING].expose(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})


_CONTRACT = Contract(says="Read the metrics of all workers, for Prometheus", media_types=("text/plain",))
# Like /health it is open unless GOVERNANCE_METRICS_SCOPE says otherwise: it tells of no customer, key or model, and
# the probe that reads it should not hold a token that reads the tree.
ROUTES = (Route("GET", "/metrics", "open", metrics, _CONTRACT),)
