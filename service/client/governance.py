"""The service as a program sees it."""

import asyncio
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Literal, TypeVar
from uuid import uuid4

import msgspec
import structlog

from service.client.answers import Decision, GovernanceError, Report, UnavailableError, let_pass
from service.client.call import Asked, Call, Estimate, Options, Ways
from service.client.sending import Sender, Sleep

log = structlog.get_logger()

_decode_decision = msgspec.json.Decoder(Decision).decode
_decode_report = msgspec.json.Decoder(Report).decode
_CLOSE_SECONDS = 10.0
T = TypeVar("T")


class Governance:
    """Of one service, for one event loop: make it once, and close it (`async with`).

    `token` is one of scope `gateway`. Each request is sent up to `attempts` times, waits `timeout_seconds` each time,
    and carries an id by which the service knows a repeat. `on_unavailable`: whether calls may be made while it does
    not answer; they are only reported then.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        timeout_seconds: float = 5.0,
        attempts: int = 4,
        on_unavailable: Literal["refuse", "allow"] = "refuse",
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._sender = Sender(url, token=token, timeout_seconds=timeout_seconds, attempts=attempts, sleep=sleep)
        self._on_unavailable = on_unavailable
        self._tasks: set[asyncio.Task[Any]] = set()

    def call(
        self,
        virtual_key: str,
        *,
        model: str | None = None,
        provider: str | None = None,
        estimate: Estimate | None = None,
        request_id: str | None = None,
        options: Options | None = None,
    ) -> Call:
        """A call to be made inside `async with`. An id of one's own must be another for each call."""
        estimate, options = estimate or Estimate(), options or Options()
        fields = {
            "model": model,
            "provider": provider,
            "estimated_input_tokens": estimate.input_tokens,
            "max_output_tokens": estimate.max_output_tokens,
            "estimated_cost": estimate.cost,
            "mcp_tools": options.mcp_tools,
            "headers": options.headers,
            "ttl": options.ttl_seconds,
        }
        body = {name: value for name, value in fields.items() if value is not None}
        asked = Asked(virtual_key=virtual_key, request_id=request_id or uuid4().hex, body=body, options=options)
        return Call(asked, Ways(self._authorize, self.report, self._release, self._spawn))

    async def report(self, event: Mapping[str, Any]) -> Report:
        """Usage of a call that was asked for elsewhere, by its `request_id`. Raises GovernanceError.

        Who goes away meanwhile is not waited for: it is reported all the same.
        """
        sending = asyncio.create_task(self._sender.send("usage", event))
        self._tasks.add(sending)
        sending.add_done_callback(self._tasks.discard)
        try:
            return _decode_report(await asyncio.shield(sending))
        except asyncio.CancelledError:
            # A failure is told to whoever waits; to nobody but the log, now.
            sending.add_done_callback(self._ended)
            raise

    async def close(self) -> None:
        """Waits for reports that are under way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)
        await self._sender.close()

    async def __aenter__(self) -> "Governance":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _authorize(self, asked: Asked) -> Decision:
        body = {"request_id": asked.request_id, "virtual_key": asked.virtual_key, **asked.body}
        try:
            return _decode_decision(await self._sender.send("authorize", body))
        except UnavailableError as error:
            # An attempt may have been heard, and holds; nobody would end it.
            if self._on_unavailable == "refuse":
                self._spawn(self._try_to_release(asked.request_id))
                raise
            log.warning("a call was let pass without being asked for", request_id=asked.request_id, reason=str(error))
            return let_pass(asked.request_id)
        except asyncio.CancelledError:
            self._spawn(self._try_to_release(asked.request_id))
            raise

    async def _release(self, request_id: str) -> None:
        await self._sender.send("release", {"request_id": request_id})

    async def _try_to_release(self, request_id: str) -> None:
        try:
            await self._sender.send("release", {"request_id": request_id}, attempts=1)
        except GovernanceError as error:
            log.warning("a call may hold until it expires", request_id=request_id, reason=str(error))

    def _spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        """Whoever waited for it may be gone."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a call was not settled, its hold expires", reason=str(error))
