"""A lane: the way of all calls to one server, many calls to a round trip."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import ReadOnlyError, RedisError, TimeoutError as RedisTimeoutError

from service.counters.breaker import Breaker, BreakerOpenError
from service.counters.calls import ScriptCall
from service.counters.connections import Connections
from service.counters.exchange import exchange
from service.counters.waiting import Reason, Refusal, Traffic, Waiting

CALLS_PER_ROUND_TRIP = 128
# Who comes after so many would not be answered in time either.
LONGEST_QUEUE = 8192


class Lane:
    """Every wait ends within the time-out, and none is begun while the breaker is open.

    No more than `trips_at_once` round trips are under way; later calls wait, and go together in the next.
    """

    def __init__(
        self, connections: Connections, *, timeout_seconds: float, trips_at_once: int, traffic: Traffic
    ) -> None:
        self._connections = connections
        self._timeout_seconds = timeout_seconds
        self._trips_at_once = trips_at_once
        self._traffic = traffic
        self._queue: deque[Waiting] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._departs_soon = False
        self._closed = False
        self.breaker = Breaker(time.monotonic)
        self.redirect: Callable[[Refusal], bool] = lambda _: False
        """Asked what to do about an error the server answered: whether somebody else sees to the call now."""
        self.on_silence: Callable[[], object] = lambda: None
        """Told when the server did not answer."""

    @property
    def queued(self) -> int:
        """Calls not yet sent."""
        return len(self._queue)

    def put(self, waiting: Waiting) -> None:
        """Send it together with the others of this turn of the loop."""
        if reason := self._reason_to_refuse():
            self._traffic.refuse([waiting], reason)
            return
        self._queue.append(waiting)
        if not self._departs_soon:
            self._departs_soon = True
            asyncio.get_running_loop().call_soon(self._depart)

    def send(self, command: bytes, call: ScriptCall | None = None) -> asyncio.Future[Any]:
        """The answer of this very server."""
        waiting = Waiting(command, asyncio.get_running_loop().create_future(), call)
        self.put(waiting)
        return waiting.answer

    async def close(self) -> None:
        """Take no more calls, let those that are here end within the time-out, and close every connection."""
        self._closed = True
        self._depart()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_seconds):
                while self._under_way:
                    await asyncio.wait(self._under_way)
        self._traffic.refuse(self._queue, "closed")
        self._queue.clear()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._connections.close()

    def _reason_to_refuse(self) -> Reason | None:
        if self._closed:
            return "closed"
        if self.breaker.refuses:
            return "not_asked"
        return "too_many" if len(self._queue) >= LONGEST_QUEUE else None

    def _depart(self) -> None:
        self._departs_soon = False
        while self._queue and len(self._under_way) < self._trips_at_once:
            taken = [self._queue.popleft() for _ in range(min(len(self._queue), CALLS_PER_ROUND_TRIP))]
            batch = [waiting for waiting in taken if not waiting.answer.done()]
            if batch:  # with nothing sent, a silent server would seem to answer
                # In a task of its own: whoever waits may go away.
                task = asyncio.create_task(self._carry(batch))
                self._under_way.add(task)
                task.add_done_callback(self._arrive)

    def _arrive(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._depart()

    async def _carry(self, batch: Sequence[Waiting]) -> None:
        try:
            with self.breaker.guard():
                refusals = await self._round_trip(batch)
            for refusal in refusals:
                # It answered: no outage, but nothing to go on with either (out of memory, a wrong type).
                if not self.redirect(refusal):
                    self._traffic.refuse([refusal.waiting], "refused", refusal.error)
        except BreakerOpenError:
            self._traffic.refuse(batch, "not_asked")
        except (RedisError, OSError) as error:
            self._give_up(batch, error)
        except BaseException:
            self._traffic.refuse(batch, "no_answer")  # cancelled, or a fault in here: nobody waits for ever
            raise

    def _give_up(self, batch: Sequence[Waiting], error: RedisError | OSError) -> None:
        self._traffic.refuse(batch, "no_answer", error)
        if isinstance(error, TimeoutError | RedisTimeoutError):
            # Silent for that long: those who have waited behind it are told as well.
            self._traffic.refuse(self._queue, "no_answer", error)
            self._queue.clear()
        self.on_silence()

    async def _round_trip(self, batch: Sequence[Waiting]) -> list[Refusal]:
        begun = time.monotonic()
        async with asyncio.timeout(self._timeout_seconds), self._connections.lend() as connection:
            refusals = await exchange(connection, batch)
            if any(isinstance(refusal.error, ReadOnlyError) for refusal in refusals):
                # What was a primary is a replica now; a new connection may find the primary.
                await connection.disconnect(nowait=True)
        self._traffic.note_round_trip(len(batch), time.monotonic() - begun)
        return refusals
