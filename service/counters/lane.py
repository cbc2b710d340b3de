"""A lane: the way of all calls to one server, many calls to a round trip."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence

import msgspec
from redis.exceptions import ReadOnlyError, RedisError, TimeoutError as RedisTimeoutError

from service.counters.breaker import Breaker, BreakerOpenError
from service.counters.calls import CountersUnavailableError
from service.counters.connections import Connections
from service.counters.exchange import Refusal, Waiting, exchange

# While so many round trips are under way, later calls wait and go together in the next.
ROUND_TRIPS_AT_ONCE = 2
CALLS_PER_ROUND_TRIP = 128
# Who comes after so many would not be answered in time either.
LONGEST_QUEUE = 8192

_SILENT = "Redis does not answer"
_SILENT_LATELY = "Redis did not answer lately"


class Traffic(msgspec.Struct):
    """What went over the lanes of one client since it was opened."""

    round_trips: int = 0
    round_trip_seconds: float = 0.0
    """Of all round trips together."""
    last_round_trip_seconds: float = 0.0
    calls: int = 0
    """Sent in those round trips."""
    errors: int = 0
    """Calls that were refused: unanswered, answered with an error, or never sent."""


class Lane:
    """Every wait ends within `timeout_seconds`, and none is begun while the breaker is open."""

    def __init__(self, connections: Connections, *, timeout_seconds: float, traffic: Traffic) -> None:
        self._connections = connections
        self._timeout_seconds = timeout_seconds
        self._traffic = traffic
        self._queue: deque[Waiting] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._departs_soon = False
        self._closed = False
        self.breaker = Breaker(time.monotonic)

    @property
    def queued(self) -> int:
        """Calls not yet sent."""
        return len(self._queue)

    def put(self, waiting: Waiting) -> None:
        """Send it together with the others of this turn of the loop."""
        if reason := self._reason_to_refuse():
            self._refuse([waiting], reason)
            return
        self._queue.append(waiting)
        if not self._departs_soon:
            self._departs_soon = True
            asyncio.get_running_loop().call_soon(self._depart)

    async def close(self) -> None:
        """Let what is under way end, within the time-out, and close every connection."""
        self._closed = True
        self._refuse(self._queue, _SILENT)
        self._queue.clear()
        if self._under_way:
            _, pending = await asyncio.wait(self._under_way, timeout=self._timeout_seconds)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        await self._connections.close()

    def _reason_to_refuse(self) -> str | None:
        if self._closed:
            return "the connection to Redis is closed"
        if self.breaker.refuses:
            return _SILENT_LATELY
        return "too many calls wait for Redis" if len(self._queue) >= LONGEST_QUEUE else None

    def _depart(self) -> None:
        self._departs_soon = False
        while self._queue and len(self._under_way) < ROUND_TRIPS_AT_ONCE:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), CALLS_PER_ROUND_TRIP))]
            # In a task of its own: whoever waits may go away.
            task = asyncio.create_task(self._carry([waiting for waiting in batch if not waiting.answer.done()]))
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
                self._refuse([refusal.waiting], "Redis refuses", refusal.error)
        except BreakerOpenError:
            self._refuse(batch, _SILENT_LATELY)
        except (TimeoutError, RedisTimeoutError) as error:
            # Silent for that long: those who have waited behind it are told as well.
            self._refuse([*batch, *self._queue], _SILENT, error)
            self._queue.clear()
        except (RedisError, OSError) as error:
            self._refuse(batch, _SILENT, error)
        finally:
            self._refuse(batch, _SILENT)  # nobody waits for ever, not even for a fault in here

    async def _round_trip(self, batch: Sequence[Waiting]) -> list[Refusal]:
        begun = time.monotonic()
        async with asyncio.timeout(self._timeout_seconds), self._connections.lend() as connection:
            refusals = await exchange(connection, batch)
            if any(isinstance(refusal.error, ReadOnlyError) for refusal in refusals):
                # What was a primary is a replica now; a new connection may find the primary.
                await connection.disconnect(nowait=True)
        self._note_round_trip(len(batch), time.monotonic() - begun)
        return refusals

    def _note_round_trip(self, calls: int, seconds: float) -> None:
        self._traffic.round_trips += 1
        self._traffic.calls += calls
        self._traffic.round_trip_seconds += seconds
        self._traffic.last_round_trip_seconds = seconds

    def _refuse(self, batch: Iterable[Waiting], reason: str, cause: Exception | None = None) -> None:
        for waiting in batch:
            if not waiting.answer.done():
                self._traffic.errors += 1
                error = CountersUnavailableError(reason)
                error.__cause__ = cause
                waiting.answer.set_exception(error)
