"""One call: allowed when it begins, and settled once when it ends, however it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal

import msgspec

from service.client.answers import Decision, GovernanceError, RefusedCallError, Report

# What becomes of a call that did not end well and said no usage: what it held is given back; or its status is reported,
# at no cost; or what it held is booked, as it was probably billed.
Ending = Literal["release", "report", "book"]

_Settle = Callable[[dict[str, Any]], Awaitable[Report]]


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a call will use at most; `cost` in US dollars goes before what the tokens would cost."""

    input_tokens: int | None = None
    max_output_tokens: int | None = None
    cost: float | None = None


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Of one call: what else it is held against, how long it may take, and what becomes of it when it fails."""

    mcp_tools: Sequence[str] | None = None
    headers: Mapping[str, str] | None = None
    ttl_seconds: float | None = None
    on_error: Ending = "release"
    on_cancel: Ending = "book"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it is asked for."""

    virtual_key: str
    request_id: str
    body: dict[str, Any]
    options: Options


class Ways(msgspec.Struct, frozen=True):
    """How a call is asked for, reported and released. `spawn` keeps a task until it is done."""

    authorize: Callable[[Asked], Awaitable[Decision]]
    settle: _Settle
    release: Callable[[str], Awaitable[None]]
    spawn: Callable[[Coroutine[Any, Any, Report | None]], "asyncio.Task[Report | None]"]


class Call:
    """`async with` it: entering raises RefusedCallError when it may not be made, and UnavailableError.

    Leaving raises GovernanceError when its usage could not be reported; its hold expires then, and is booked.
    """

    decision: Decision
    report: Report | None = None

    def __init__(self, asked: Asked, ways: Ways) -> None:
        self.request_id = asked.request_id
        self._asked = asked
        self._ways = ways
        self._usage: dict[str, Any] | None = None

    @property
    def provider(self) -> str | None:
        """Where it should go."""
        return self.decision.provider

    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_input_tokens: int | None = None,
        cost: float | None = None,
        **others: Any,
    ) -> None:
        """What it used so far; the last word counts. `others`: `provider`, `model`, where they differ, `metadata`."""
        figures = {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "cached_input_tokens": cached_input_tokens,
            "cost": cost,
            **others,
        }
        self._usage = {name: value for name, value in figures.items() if value is not None}

    async def __aenter__(self) -> "Call":
        self.decision = await self._ways.authorize(self._asked)
        if not self.decision.allowed:
            raise RefusedCallError(self.decision)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Whoever is cancelled once more while the report is under way leaves it to go on by itself.
        ended = asyncio.shield(self._ways.spawn(self._end(error)))
        if error is None:
            self.report = await ended
            return
        # What failed first is what its maker should see; the other failure is logged.
        with suppress(GovernanceError):
            self.report = await ended

    async def _end(self, error: BaseException | None) -> Report | None:
        cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
        if error is None:
            return await self._settle("success")
        if self._usage is not None:
            return await self._settle("cancelled" if cancelled else "error")
        ending = self._asked.options.on_cancel if cancelled else self._asked.options.on_error
        if ending == "book":
            return await self._settle("success")
        if ending == "report":
            return await self._settle("cancelled" if cancelled else "error")
        await self._ways.release(self.request_id)
        return None

    async def _settle(self, status: str) -> Report:
        asked = {name: self._asked.body[name] for name in ("provider", "model") if name in self._asked.body}
        event = {"request_id": self.request_id, "virtual_key": self._asked.virtual_key, "status": status}
        return await self._ways.settle(event | asked | (self._usage or {}))
