"""What was answered, and how fast: counted by operation, never by what a client sent; and a log line, if asked for."""

from collections import Counter
from collections.abc import Mapping

import structlog
from aiohttp import web

from service.domain.measures import Distribution
from service.http.auth import PRINCIPAL, Handler

log = structlog.get_logger()

# A path or method the table of routes does not have.
_NO_OPERATION = "none"


class Answers:
    """Of one worker, since its start. `seconds` are by operation, `counts` by operation and status."""

    def __init__(self, operations: Mapping[Handler, str], *, log_each: bool) -> None:
        self._operations = operations
        self._log_each = log_each
        self.seconds: dict[str, Distribution] = {}
        self.counts: Counter[tuple[str, str]] = Counter()

    def add(self, request: web.Request, response: web.StreamResponse, seconds: float) -> None:
        operation = self.operation_of(request)
        distribution = self.seconds.get(operation)
        if distribution is None:
            distribution = self.seconds[operation] = Distribution()
        distribution.observe(seconds)
        self.counts[operation, str(response.status)] += 1
        if self._log_each:
            _log(request, response, operation, seconds)

    def operation_of(self, request: web.Request) -> str:
        return self._operations.get(request.match_info.handler, _NO_OPERATION)


def _log(request: web.Request, response: web.StreamResponse, operation: str, seconds: float) -> None:
    """Neither path nor query: a client may have put a secret there."""
    principal = request.get(PRINCIPAL)
    log.info(
        "request",
        operation=operation,
        status=response.status,
        ms=round(seconds * 1000, 3),
        bytes=response.content_length,
        actor=None if principal is None else principal.name,
        remote=request.remote,
    )


ANSWERS = web.AppKey("answers", Answers)
