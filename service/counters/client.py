"""The connection to Redis: scripts in one round trip, bounded waits, no retry that is not ours."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from service.counters.breaker import Breaker, BreakerOpenError
from service.domain.measures import RoundTrips
from service.settings import Settings


class CountersUnavailableError(Exception):
    """Redis does not answer in time, or refuses. What to do then is the caller's policy."""


class Script(msgspec.Struct, frozen=True):
    """A .lua file of `scripts/`: its header says its keys, argument and answer."""

    name: str
    text: str
    sha1: str


class ScriptCall(msgspec.Struct, frozen=True):
    """One run of a script: keys of one tenant or several, one msgpack argument."""

    script: Script
    keys: Sequence[str]
    argument: bytes


def load_script(name: str) -> Script:
    text = (Path(__file__).parent / "scripts" / f"{name}.lua").read_text(encoding="utf-8")
    # Redis names a script by its SHA-1; nothing here depends on its strength.
    return Script(name=name, text=text, sha1=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class CounterClient:
    """Runs scripts; every wait ends within `timeout_seconds`, and none is begun while the breaker is open."""

    def __init__(self, redis: Redis, *, timeout_seconds: float) -> None:
        self._redis = redis
        self._timeout_seconds = timeout_seconds
        self._under_way: set[asyncio.Task[list[Any]]] = set()
        self._closed = False
        self.breaker = Breaker(time.monotonic)
        self.round_trips = RoundTrips()

    async def run(self, calls: Sequence[ScriptCall]) -> list[bytes]:
        """Run the calls in one round trip, each atomic by itself. Raises CountersUnavailableError.

        A call may have been carried out although its answer was lost, and is made again when the server has lost the
        script: scripts must be safe to repeat.
        """
        errors = self.round_trips.errors
        try:
            with self.breaker.guard():
                answers = await self._in_time(calls)
        except BreakerOpenError as error:
            errors["not_asked"] += 1
            raise CountersUnavailableError("Redis did not answer lately") from error
        except (RedisError, OSError, TimeoutError) as error:
            errors["no_answer"] += 1
            raise CountersUnavailableError("Redis does not answer") from error
        for answer in answers:
            if isinstance(answer, Exception):
                errors["refused"] += 1
                # It answered: no outage, but nothing to go on with either (out of memory, a replica, a wrong type).
                raise CountersUnavailableError("Redis refuses") from answer
        return answers

    async def ping(self) -> None:
        """Raises CountersUnavailableError."""
        await self.run([])

    async def close(self) -> None:
        """Let what is under way end, within the time-out, and close every connection."""
        self._closed = True
        if self._under_way:
            _, pending = await asyncio.wait(self._under_way, timeout=self._timeout_seconds)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        await self._redis.aclose()

    async def _in_time(self, calls: Sequence[ScriptCall]) -> list[Any]:
        begun_seconds = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._undisturbed(calls)
        finally:
            self.round_trips.seconds.observe(time.perf_counter() - begun_seconds)

    async def _undisturbed(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """In a task of its own: redis-py loses a connection that is cancelled while it is being opened."""
        if self._closed:
            raise ConnectionError("closed")
        task = asyncio.create_task(self._run(calls))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        # Whoever waits may go away; the connection's own time-outs end the task.
        task.add_done_callback(_retrieve)
        return await asyncio.shield(task)

    async def _run(self, calls: Sequence[ScriptCall]) -> list[Any]:
        answers = await self._pipeline(calls)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            # A new, restarted or flushed server has no scripts yet.
            for script in {call.script.sha1: call.script for call in calls}.values():
                await self._redis.script_load(script.text)
            answers = await self._pipeline(calls)
        return answers

    async def _pipeline(self, calls: Sequence[ScriptCall]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        if not calls:
            pipeline.ping()
        for call in calls:
            pipeline.evalsha(call.script.sha1, len(call.keys), *call.keys, call.argument)
        return await pipeline.execute(raise_on_error=False)


def _retrieve(task: asyncio.Task[list[Any]]) -> None:
    """Look at a failure nobody waits for any more: it was told to whoever did."""
    if not task.cancelled():
        task.exception()


def open_counters(settings: Settings) -> CounterClient:
    """Connects when first used. Raises ValueError when the URL cannot be understood."""
    timeout_seconds = settings.redis_timeout_ms / 1000
    pool = BlockingConnectionPool.from_url(
        settings.redis_url,
        max_connections=settings.redis_pool_size,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        # redis-py's own retry would apply a lost answer's script again behind the caller's back.
        retry=Retry(NoBackoff(), 0),
    )
    return CounterClient(Redis.from_pool(pool), timeout_seconds=timeout_seconds)
