"""What was answered, and how fast: counted by operation, never by what a client sent."""

from collections import Counter
from collections.abc import Mapping

from aiohttp import web

from service.domain.measures import Distribution
from service.http.auth import Handler

# A path or method the table of routes does not have.
_NO_OPERATION = "none"


class Answers:
    """Of one worker, since its start. `seconds` are by operation, `counts` by operation and status."""

    def __init__(self, operations: Mapping[Handler, str]) -> None:
        self._operations = operations
        self.seconds: dict[str, Distribution] = {}
        self.counts: Counter[tuple[str, str]] = Counter()

    def add(self, request: web.Request, response: web.StreamResponse, seconds: float) -> None:
        operation = self._operations.get(request.match_info.handler, _NO_OPERATION)
        distribution = self.seconds.get(operation)
        if distribution is None:
            distribution = self.seconds[operation] = Distribution()
        distribution.observe(seconds)
        self.counts[operation, str(response.status)] += 1


ANSWERS = web.AppKey("answers", Answers)
