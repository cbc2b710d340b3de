"""Calls on their way: who waits for what, and what is counted of them."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec
from redis.exceptions import ResponseError

from service.counters.calls import CountersUnavailableError, ScriptCall
from service.domain.measures import Distribution

Reason: TypeAlias = Literal["no_answer", "not_asked", "refused", "too_many", "closed"]

_TOLD: dict[Reason, str] = {
    "no_answer": "Redis does not answer",
    "not_asked": "Redis did not answer lately",
    "refused": "Redis refuses",
    "too_many": "too many calls wait for Redis",
    "closed": "the connection to Redis is closed",
}


class Waiting(msgspec.Struct, eq=False):
    """A command, and who waits for its answer; `call` is what it runs, if it runs a script."""

    command: bytes
    answer: asyncio.Future[Any]
    call: ScriptCall | None = None
    redirections: int = 0
    asking: bool = False
    """Whether the server, of a cluster, has to be asked to answer for a slot that is still moving to it."""


class Refusal(msgspec.Struct):
    """The server answered, but with an error."""

    waiting: Waiting
    error: ResponseError


class Traffic(msgspec.Struct):
    """What went over the lanes of one client since it was opened."""

    seconds: Distribution = msgspec.field(default_factory=Distribution)
    """What round trips took that were answered."""
    round_trips: int = 0
    """How many these were."""
    calls: int = 0
    """Sent in them."""
    errors: Counter[Reason] = msgspec.field(default_factory=Counter)
    """Calls that were refused, by why."""

    def note_round_trip(self, calls: int, seconds: float) -> None:
        self.round_trips += 1
        self.calls += calls
        self.seconds.observe(seconds)

    def refuse(self, calls: Iterable[Waiting], reason: Reason, cause: Exception | None = None) -> None:
        """Tell those who still wait that there will be no answer."""
        for waiting in calls:
            if not waiting.answer.done():
                self.errors[reason] += 1
                error = CountersUnavailableError(_TOLD[reason])
                error.__cause__ = cause
                waiting.answer.set_exception(error)
