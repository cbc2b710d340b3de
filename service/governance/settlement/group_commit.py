"""Group commit: reports that arrive while a transaction is under way go together in the next; each is answered when its
transaction is committed and Redis was told.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
import structlog

from service.counters.batching import ScriptBatcher
from service.domain.usage import MeterCharge, UsageEvent
from service.domain.windows import to_us
from service.governance.measures import EngineMeasures
from service.governance.settlement.telling import tell_counters
from service.governance.settlement.waiting import BookedAs, Booking, Waiting, WaitingLine, fail
from service.store.ledger import Recorded, find_totals, record_usage
from service.store.postgres import Store, StoreUnavailableError
from service.store.usage_reports import KnownReport, find_reports

_EVENTS_PER_COMMIT = 500
_COMMITS_AT_ONCE = 2
# So many wait before a second commit begins: of fewer each costs more than is gained by not waiting for the first.
_WORTH_A_SECOND = 16

EXPIRED = b"expired"
log = structlog.get_logger()


class GroupCommit:
    """One transaction at a time for each worker; two when there is much to do."""

    def __init__(
        self, store: Store, batcher: ScriptBatcher, *, measures: EngineMeasures, clock: Callable[[], datetime]
    ) -> None:
        self._measures = measures
        measures.queues["usage"] = lambda: len(self._waiting)
        self._store = store
        self._batcher = batcher
        self._clock = clock
        self._waiting = WaitingLine()
        self._departs_soon = False
        self._committing: set[asyncio.Task[None]] = set()
        self._telling: set[asyncio.Task[None]] = set()

    async def book(self, bookings: Sequence[Booking]) -> list[BookedAs]:
        """Returns when all are committed, in their order. Raises StoreUnavailableError: they may be sent again then."""
        if not bookings:
            return []
        told = self._waiting.join(bookings)
        if not self._departs_soon:
            # With all that is reported in this turn of the loop.
            self._departs_soon = True
            asyncio.get_running_loop().call_soon(self._depart)
        return await told

    async def close(self) -> None:
        """What is under way is finished."""
        self._depart()
        while self._committing or self._telling:
            await asyncio.wait({*self._committing, *self._telling})

    def _depart(self) -> None:
        self._departs_soon = False
        while self._waiting and self._may_commit():
            task = asyncio.create_task(self._book_batch(self._waiting.take(_EVENTS_PER_COMMIT)), name="group commit")
            self._committing.add(task)
            task.add_done_callback(self._arrive)

    def _arrive(self, task: "asyncio.Task[None]") -> None:
        self._committing.discard(task)
        self._depart()

    def _may_commit(self) -> bool:
        under_way = len(self._committing)
        return not under_way or (under_way < _COMMITS_AT_ONCE and len(self._waiting) >= _WORTH_A_SECOND)

    async def _book_batch(self, batch: Sequence[Waiting]) -> None:
        try:
            recorded, known = await self._commit(batch)
        except StoreUnavailableError as error:
            # Whoever waits behind would wait as long for the same.
            fail(batch, error)
            self._waiting.fail_all(error)
        except Exception as error:  # noqa: BLE001  # what it is about is booked apart from the others
            await self._book_apart(batch, error)
        except BaseException:
            fail(batch, StoreUnavailableError("the reports could not be booked"))
            raise
        else:
            self._observe(batch, asyncio.get_running_loop().time())
            self._tell(batch, recorded, known)

    async def _book_apart(self, batch: Sequence[Waiting], error: Exception) -> None:
        """One of them cannot be booked, and keeps none of the others from it."""
        of_id: defaultdict[str, list[Waiting]] = defaultdict(list)
        for each in batch:
            of_id[each.event.request_id].append(each)
        if len(of_id) == 1:
            log.error("a report could not be booked", kind=type(error).__name__)
            fail(batch, StoreUnavailableError("the report could not be booked"))
            return
        for alone in of_id.values():
            await self._book_batch(alone)

    def _observe(self, batch: Sequence[Waiting], now_seconds: float) -> None:
        self._measures.batch_events.observe(len(batch))
        self._measures.batch_wait_seconds.observe(now_seconds - batch[0].since_seconds)

    async def _commit(self, batch: Sequence[Waiting]) -> tuple[Recorded, dict[str, KnownReport]]:
        firsts: dict[str, UsageEvent] = {}
        for each in batch:
            firsts.setdefault(each.event.request_id, each.event)
        async with self._store.connection() as connection:
            recorded = await record_usage(connection, list(firsts.values()))
            repeated = [request_id for request_id in firsts if request_id not in recorded.fresh_request_ids]
            known = await find_reports(connection, repeated) if repeated else {}
            totals = await find_totals(connection, _charges_still_held(batch, recorded)) if repeated else ()
        return msgspec.structs.replace(recorded, windows=(*recorded.windows, *totals)), known

    def _tell(self, batch: Sequence[Waiting], recorded: Recorded, known: dict[str, KnownReport]) -> None:
        """Beside the next commit: telling Redis takes a round trip."""
        task = asyncio.create_task(self._settle(batch, recorded, known), name="tell the counters")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _settle(self, batch: Sequence[Waiting], recorded: Recorded, known: dict[str, KnownReport]) -> None:
        answers = _answers([each.event for each in batch], recorded, known)
        booked: dict[str, tuple[Booking, BookedAs]] = {}
        for each, answer in zip(batch, answers, strict=True):
            if answer != "conflict":
                booked.setdefault(each.event.request_id, (each.booking, answer))
        try:
            await tell_counters(self._batcher, recorded.windows, booked.values(), now_us=to_us(self._clock()))
        finally:
            for each, answer in zip(batch, answers, strict=True):
                each.answer(answer)


def _charges_still_held(batch: Sequence[Waiting], recorded: Recorded) -> list[MeterCharge]:
    """Of calls that were booked before: whoever did may not have lived to tell Redis their totals.

    These take the place of what the calls hold.
    """
    return [
        charge
        for each in batch
        if each.booking.held_in and each.event.request_id not in recorded.fresh_request_ids
        for charge in each.event.charges
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
