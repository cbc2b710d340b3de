"""A lane: the way of all calls to one server, many calls to a round trip."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ReadOnlyError, RedisError, TimeoutError as RedisTimeoutError

from service.counters.breaker import Breaker, BreakerOpenError
from service.counters.calls import ScriptCall
from service.counters.connections import Connections
from service.counters.exchange import exchange
from service.counters.waiting import Reason, Refusal, Traffic, Waiting

CALLS_PER_ROUND_TRIP = 128
# Who comes after so many would not be answered in time either.
LONGEST_QUEUE = 8192


class _Carrier:
    """Makes one round trip after the other; `began_at` is when the one under way did, None between two."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.began_at: float | None = None
        self.is_late = False


class Lane:
    """Every wait ends within the time-out, and none is begun while the breaker is open.

    No more than `trips_at_once` round trips are under way; later calls wait, and go together in the next. Carriers
    stay, and one watch is kept on all of them: a task and a time-out of its own for each round trip cost a fifth of it.
    """

    def __init__(
        self, connections: Connections, *, timeout_seconds: float, trips_at_once: int, traffic: Traffic
    ) -> None:
        self._connections = connections
        self._timeout_seconds = timeout_seconds
        self._trips_at_once = trips_at_once
        self._traffic = traffic
        self._queue: deque[Waiting] = deque()
        self._carriers: list[_Carrier] = []
        self._resting: list[asyncio.Future[None]] = []
        self._departs_soon = False
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False
        self.breaker = Breaker(time.monotonic)
        self.redirect: Callable[[Refusal], bool] = lambda _: False
        """Asked what to do about an error the server answered: whether somebody else sees to the call now."""
        self.on_silence: Callable[[], object] = lambda: None
        """Told when the server did not answer."""

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """Kept: asking for it costs a system call before Python 3.12."""
        return asyncio.get_running_loop()

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
        self._call_a_carrier()

    def send(self, command: bytes, call: ScriptCall | None = None) -> asyncio.Future[Any]:
        """The answer of this very server."""
        waiting = Waiting(command, self._loop.create_future(), call)
        self.put(waiting)
        return waiting.answer

    async def close(self) -> None:
        """Take no more calls, let those that are here end within the time-out, and close every connection."""
        self._closed = True
        while self._resting:
            self._resting.pop().set_result(None)
        last_at = self._loop.time() + self._timeout_seconds
        # Each time anew: one that goes may call another for what it leaves.
        while (carrying := self._tasks()) and (left_seconds := last_at - self._loop.time()) > 0:
            await asyncio.wait(carrying, timeout=left_seconds)
        self._traffic.refuse(self._queue, "closed")
        self._queue.clear()
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
        if self._watch is not None:
            self._watch.cancel()
        await self._connections.close()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [carrier.task for carrier in self._carriers if carrier.task]

    def _reason_to_refuse(self) -> Reason | None:
        if self._closed:
            return "closed"
        if self.breaker.refuses:
            return "not_asked"
        return "too_many" if len(self._queue) >= LONGEST_QUEUE else None

    def _call_a_carrier(self) -> None:
        """One is enough: it takes all that is put in until its turn comes. All may be on their way."""
        if self._departs_soon:
            return
        if self._resting:
            self._resting.pop().set_result(None)
        elif len(self._carriers) < self._trips_at_once:
            carrier = _Carrier()
            self._carriers.append(carrier)
            # Tasks of their own: whoever waits may go away.
            carrier.task = self._loop.create_task(self._carry_on(carrier))
        else:
            return
        self._departs_soon = True

    async def _carry_on(self, carrier: _Carrier) -> None:
        """Until the lane is closed and nothing waits any more."""
        try:
            while self._queue or not self._closed:
                self._departs_soon = False
                if batch := self._take():
                    await self._carry(carrier, batch)
                elif not self._closed:
                    called = self._loop.create_future()
                    self._resting.append(called)
                    await called
        finally:
            self._carriers.remove(carrier)
            if self._queue:
                self._call_a_carrier()

    def _take(self) -> Sequence[Waiting]:
        """Of those that fit into a round trip, who still waits: with nothing sent a silent server seems to answer."""
        taken = [self._queue.popleft() for _ in range(min(len(self._queue), CALLS_PER_ROUND_TRIP))]
        if self._queue:
            self._call_a_carrier()
        return [waiting for waiting in taken if not waiting.answer.done()]

    async def _carry(self, carrier: _Carrier, batch: Sequence[Waiting]) -> None:
        try:
            with self.breaker.guard():
                refusals = await self._round_trip(carrier, batch)
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

    async def _round_trip(self, carrier: _Carrier, batch: Sequence[Waiting]) -> list[Refusal]:
        """Raises TimeoutError when the watch found it late."""
        begun = carrier.began_at = self._loop.time()
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout_seconds, self._end_late_trips)
        connection: AbstractConnection | None = None
        try:
            connection = await self._connections.take()
            refusals = await exchange(connection, batch)
            if any(isinstance(refusal.error, ReadOnlyError) for refusal in refusals):
                # What was a primary is a replica now; a new connection may find the primary.
                await connection.disconnect(nowait=True)
        except BaseException as error:
            if connection is not None:
                # Replies may be on their way to it.
                await connection.disconnect(nowait=True)
            if isinstance(error, asyncio.CancelledError) and carrier.is_late and carrier.task:
                carrier.task.uncancel()
                raise TimeoutError from error
            raise
        finally:
            carrier.began_at, carrier.is_late = None, False
        self._connections.give_back(connection)
        self._traffic.note_round_trip(len(batch), self._loop.time() - begun)
        return refusals

    def _end_late_trips(self) -> None:
        """Those that began longer ago than the time-out; looks again when the next could be late."""
        self._watch = None
        now = self._loop.time()
        under_way = [carrier for carrier in self._carriers if carrier.began_at is not None and not carrier.is_late]
        next_at: float | None = None
        for carrier in under_way:
            late_at = (carrier.began_at or now) + self._timeout_seconds
            if late_at > now:
                next_at = min(late_at, next_at or late_at)
            elif carrier.task is not None:
                carrier.is_late = True
                carrier.task.cancel()
        if next_at is not None:
            self._watch = self._loop.call_at(next_at, self._end_late_trips)
