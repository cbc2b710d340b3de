"""Cross-origin requests: which pages in a browser may call this service from where they are.

Nothing of it is said unless GOVERNANCE_ALLOWED_ORIGINS names an origin.
"""

import re
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import hdrs, web

from service.http.errors import ApiError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_EVERYONE = "*"
_REQUEST_HEADERS = "Content-Type, Authorization, Idempotency-Key, If-Match, X-Request-Id, x-bf-vk"
_ANSWER_HEADERS = "ETag, X-Governance-Usage-Source, Idempotent-Replayed, X-Request-Id"
_REMEMBERED_SECONDS = 86_400


class Origins(msgspec.Struct, frozen=True):
    """`named` matches the origins that were named, if any were; `everyone`: so may all others, without credentials."""

    named: re.Pattern[str] | None
    everyone: bool

    def names(self, origin: str) -> bool:
        return self.named is not None and self.named.fullmatch(origin) is not None

    def allow(self, origin: str) -> bool:
        return self.everyone or self.names(origin)


# Absent where no origin is allowed: neither of the two below is asked then.
ORIGINS = web.AppKey("origins", Origins)


def parse_origins(text: str) -> Origins | None:
    """A comma list of origins; `*` alone is everyone, in a host it stands for any part of it. None for no origin."""
    origins = [origin.strip().lower() for origin in text.split(",") if origin.strip()]
    if not origins:
        return None
    patterns = [re.escape(origin).replace(r"\*", "[a-z0-9.-]+") for origin in origins if origin != _EVERYONE]
    return Origins(re.compile("|".join(patterns)) if patterns else None, _EVERYONE in origins)


@web.middleware
async def answer_preflights(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A browser's question before it sends the request itself: it has no token yet."""
    missed = request.match_info.http_exception
    # OPTIONS is no method of the table: a path that has others is one of it.
    if not isinstance(missed, web.HTTPMethodNotAllowed) or not _is_preflight(request):
        return await handler(request)
    if not request.app[ORIGINS].allow(request.headers[hdrs.ORIGIN]):
        raise ApiError(403, "Pages of this origin may not call this service")
    headers = {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(sorted(missed.allowed_methods)),
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _REQUEST_HEADERS,
        hdrs.ACCESS_CONTROL_MAX_AGE: str(_REMEMBERED_SECONDS),
    }
    return web.Response(headers=headers)


async def name_allowed_origin(request: web.Request, response: web.StreamResponse) -> None:
    """On every answer, just before its head is sent: whether the page that asked may read it."""
    origins = request.app[ORIGINS]
    response.headers.add(hdrs.VARY, hdrs.ORIGIN)
    origin = request.headers.get(hdrs.ORIGIN, "")
    if not origin or not origins.allow(origin):
        return
    response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
    response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _ANSWER_HEADERS
    if origins.names(origin):
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"


def _is_preflight(request: web.Request) -> bool:
    return (
        request.method == hdrs.METH_OPTIONS
        and hdrs.ORIGIN in request.headers
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    )
