"""The span of a request; only there when tracing is on."""

from aiohttp import hdrs, web

from service.http.answers import ANSWERS
from service.http.auth import Handler
from service.telemetry.tracing import Tracing

TRACING = web.AppKey("tracing", Tracing)
# Asked every few seconds by machines.
_NOT_TRACED = {"get_health", "get_ready", "get_metrics"}


@web.middleware
async def trace_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    operation = request.app[ANSWERS].operation_of(request)
    if operation in _NOT_TRACED:
        return await handler(request)
    method = request.method if request.method in hdrs.METH_ALL else "_OTHER"
    with request.app[TRACING].request(operation, method, request.headers) as answered:
        response = await handler(request)
        answered(response.status)
    return response
