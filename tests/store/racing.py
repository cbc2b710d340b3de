"""Two writers at once, in an order that is made and not hoped for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from service.store.postgres import Connection
from tests.waiting import until

_WAITING_FOR_ME = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
    "AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
)

Begin = Callable[[], Awaitable[bool]]


@asynccontextmanager
async def open_beside(connection: Connection, work: Callable[[], Awaitable[object]]) -> AsyncIterator[Begin]:
    """The body runs in a transaction of `connection`; `work`, on another connection, while that is still open.

    Yields what begins `work`: it answers true when that is done, false when it waits for a lock of `connection`.
    At the latest `work` is begun at the end of the body. What it raises is raised here, after the commit.
    """
    begun: list[asyncio.Future[object]] = []

    async def begin() -> bool:
        task = asyncio.ensure_future(work())
        begun.append(task)

        async def done_or_waiting() -> bool:
            return task.done() or bool(await connection.fetchval(_WAITING_FOR_ME))

        await until(done_or_waiting)
        return task.done()

    try:
        async with connection.transaction():
            yield begin
            if not begun:
                await begin()
    finally:
        if begun:
            await asyncio.wait(begun)
    begun[0].result()
