"""Group commit: reports that arrive while a transaction is under way go together in the next; each is answered when its
transaction is committed and Redis was told.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec
import structlog

from service.counters.batching import ScriptBatcher
from service.counters.client import CountersUnavailableError
from service.counters.holds import LiveUse, Settled, settle
from service.domain.meters import MeterWindow, Tenant
from service.domain.usage import MeterCharge, UsageEvent
from service.domain.windows import to_us
from service.governance.measures import EngineMeasures
from service.store.ledger import Recorded, find_totals, record_usage
from service.store.postgres import Store, StoreUnavailableError
from service.store.usage_reports import KnownReport, find_reports

log = structlog.get_logger()

_EVENTS_PER_COMMIT = 500
_MOST_WAITING = 20_000
# Of each kind in one call of a script.
_ENTRIES_PER_CALL = 500

BookedAs = Literal["recorded", "duplicate", "conflict", "expired"]
EXPIRED = b"expired"


class Booking(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event, and what Redis is told once it is booked: in which tenants the call holds, and usage kept there only.

    `layout` is of the tenant the uses are in.
    """

    event: UsageEvent
    held_in: tuple[str, ...] = ()
    uses: tuple[tuple[Tenant, LiveUse], ...] = ()


class _Waiting(msgspec.Struct):
    booking: Booking
    answer: "asyncio.Future[BookedAs]"
    since_seconds: float


class GroupCommit:
    """One transaction at a time for each worker."""

    def __init__(
        self, store: Store, batcher: ScriptBatcher, *, measures: EngineMeasures, clock: Callable[[], datetime]
    ) -> None:
        self._measures = measures
        measures.queues["usage"] = lambda: len(self._queue)
        self._store = store
        self._batcher = batcher
        self._clock = clock
        self._queue: deque[_Waiting] = deque()
        self._committing: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    async def book(self, bookings: Sequence[Booking]) -> list[BookedAs]:
        """Returns when all are committed, in their order. Raises StoreUnavailableError: they may be sent again then."""
        if len(self._queue) + len(bookings) > _MOST_WAITING:
            raise StoreUnavailableError("too many reports are waiting to be booked")
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(booking, loop.create_future(), loop.time()) for booking in bookings]
        self._queue.extend(waiting)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all(), name="group commit")
        answers = await asyncio.shield(asyncio.gather(*(each.answer for each in waiting), return_exceptions=True))
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    async def close(self) -> None:
        """What is under way is finished."""
        while self._committing is not None or self._telling:
            under_way = {*self._telling, *({self._committing} if self._committing else ())}
            await asyncio.wait(under_way)

    async def _commit_all(self) -> None:
        """Until nothing waits any more."""
        try:
            while self._queue:
                await self._book_batch(self._next_batch())
        finally:
            self._committing = None
            if self._queue:
                self._committing = asyncio.create_task(self._commit_all(), name="group commit")

    async def _book_batch(self, batch: Sequence[_Waiting]) -> None:
        try:
            recorded, known = await self._commit(batch)
        except StoreUnavailableError as error:
            # Whoever waits behind would wait as long for the same.
            _fail([*batch, *self._queue], error)
            self._queue.clear()
        except Exception as error:  # noqa: BLE001  # what it is about is booked apart from the others
            await self._book_apart(batch, error)
        except BaseException:
            _fail(batch, StoreUnavailableError("the reports could not be booked"))
            raise
        else:
            self._observe(batch, asyncio.get_running_loop().time())
            self._tell(batch, recorded, known)

    async def _book_apart(self, batch: Sequence[_Waiting], error: Exception) -> None:
        """One of them cannot be booked, and keeps none of the others from it."""
        of_id: defaultdict[str, list[_Waiting]] = defaultdict(list)
        for each in batch:
            of_id[each.booking.event.request_id].append(each)
        if len(of_id) == 1:
            log.error("a report could not be booked", kind=type(error).__name__)
            _fail(batch, StoreUnavailableError("the report could not be booked"))
            return
        for alone in of_id.values():
            await self._book_batch(alone)

    def _observe(self, batch: Sequence[_Waiting], now_seconds: float) -> None:
        self._measures.batch_events.observe(len(batch))
        self._measures.batch_wait_seconds.observe(now_seconds - batch[0].since_seconds)

    def _next_batch(self) -> list[_Waiting]:
        """So many request ids, each as often as it waits among them."""
        batch: list[_Waiting] = []
        ids: set[str] = set()
        while self._queue and len(ids) < _EVENTS_PER_COMMIT:
            batch.append(self._queue.popleft())
            ids.add(batch[-1].booking.event.request_id)
        return batch

    async def _commit(self, batch: Sequence[_Waiting]) -> tuple[Recorded, dict[str, KnownReport]]:
        firsts: dict[str, UsageEvent] = {}
        for each in batch:
            firsts.setdefault(each.booking.event.request_id, each.booking.event)
        async with self._store.connection() as connection:
            recorded = await record_usage(connection, list(firsts.values()))
            repeated = [request_id for request_id in firsts if request_id not in recorded.fresh_request_ids]
            known = await find_reports(connection, repeated) if repeated else {}
            totals = await find_totals(connection, _charges_still_held(batch, recorded)) if repeated else ()
        return msgspec.structs.replace(recorded, windows=(*recorded.windows, *totals)), known

    def _tell(self, batch: Sequence[_Waiting], recorded: Recorded, known: dict[str, KnownReport]) -> None:
        """Beside the next commit: telling Redis takes a round trip."""
        task = asyncio.create_task(self._settle(batch, recorded, known), name="tell the counters")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _settle(self, batch: Sequence[_Waiting], recorded: Recorded, known: dict[str, KnownReport]) -> None:
        answers = _answers([each.booking.event for each in batch], recorded, known)
        booked: dict[str, tuple[Booking, BookedAs]] = {}
        for each, answer in zip(batch, answers, strict=True):
            if answer != "conflict":
                booked.setdefault(each.booking.event.request_id, (each.booking, answer))
        try:
            await self._tell_redis(recorded.windows, list(booked.values()))
        finally:
            for each, answer in zip(batch, answers, strict=True):
                if not each.answer.done():
                    each.answer.set_result(answer)

    async def _tell_redis(self, windows: Iterable[MeterWindow], booked: Sequence[tuple[Booking, BookedAs]]) -> None:
        """Of Redis not answering nothing is lost: the reconciler merges what changed, and holds expire."""
        by_tenant: defaultdict[str, _TenantNews] = defaultdict(_TenantNews)
        for window in windows:
            news = by_tenant[window.tenant.id]
            news.layout = window.tenant.layout
            news.windows.append(window)
        for booking, booked_as in booked:
            for tenant_id in booking.held_in:
                by_tenant[tenant_id].ended.append(booking.event.request_id)
            for tenant, use in booking.uses:
                if booked_as == "recorded" or use.request_id:
                    by_tenant[tenant.id].layout = by_tenant[tenant.id].layout or tenant.layout
                    by_tenant[tenant.id].uses.append(use)
        now_us = to_us(self._clock())
        calls = [
            settle(self._batcher, Tenant(tenant_id, news.layout), settled, now_us=now_us)
            for tenant_id, news in by_tenant.items()
            for settled in news.in_pieces()
        ]
        for error in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(error, BaseException) and not isinstance(error, CountersUnavailableError):
                raise error


class _TenantNews:
    """What Redis is told of one tenant."""

    def __init__(self) -> None:
        self.layout = 0
        self.windows: list[MeterWindow] = []
        self.ended: list[str] = []
        self.uses: list[LiveUse] = []

    def in_pieces(self) -> list[Settled]:
        most = max(len(self.windows), len(self.ended), len(self.uses))
        if most <= _ENTRIES_PER_CALL:
            return [Settled(self.windows, self.ended, self.uses)]
        # Uses count while their calls still hold: they go with the ends of the same calls.
        pieces = [
            Settled(windows=self.windows[at : at + _ENTRIES_PER_CALL]) for at in range(0, most, _ENTRIES_PER_CALL)
        ]
        for at in range(0, len(self.ended), _ENTRIES_PER_CALL):
            ended = self.ended[at : at + _ENTRIES_PER_CALL]
            pieces.append(Settled(ended=ended, uses=[use for use in self.uses if use.request_id in set(ended)]))
        free = [use for use in self.uses if not use.request_id]
        pieces += [Settled(uses=free[at : at + _ENTRIES_PER_CALL]) for at in range(0, len(free), _ENTRIES_PER_CALL)]
        return pieces


def _charges_still_held(batch: Sequence[_Waiting], recorded: Recorded) -> list[MeterCharge]:
    """Of calls that were booked before: whoever did may not have lived to tell Redis their totals.

    These take the place of what the calls hold.
    """
    return [
        charge
        for each in batch
        if each.booking.held_in and each.booking.event.request_id not in recorded.fresh_request_ids
        for charge in each.booking.event.charges
    ]


def _answers(events: Iterable[UsageEvent], recorded: Recorded, known: Mapping[str, KnownReport]) -> list[BookedAs]:
    """The first under a new id is recorded; what else comes under an id is held against what the ledger has of it."""
    in_ledger = {request_id: report.fingerprint for request_id, report in known.items()}
    answers: list[BookedAs] = []
    for event in events:
        fingerprint = in_ledger.get(event.request_id)
        if fingerprint is None and event.request_id in recorded.fresh_request_ids:
            in_ledger[event.request_id] = event.fingerprint
            answers.append("recorded")
        elif fingerprint is None or fingerprint == event.fingerprint:
            answers.append("duplicate")
        else:
            answers.append("expired" if fingerprint == EXPIRED else "conflict")
    return answers


def _fail(batch: Sequence[_Waiting], error: StoreUnavailableError) -> None:
    for each in batch:
        if not each.answer.done():
            each.answer.set_exception(error)
            each.answer.exception()  # told to whoever waits; nobody may
