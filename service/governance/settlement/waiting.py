"""Who waits for their usage to be booked, and the answers they get."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from service.counters.holds import LiveUse
from service.domain.meters import Tenant
from service.domain.usage import UsageEvent
from service.store.postgres import StoreUnavailableError

_MOST_WAITING = 20_000

BookedAs = Literal["recorded", "duplicate", "conflict", "expired"]


class Booking(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event, and what Redis is told once it is booked: in which tenants the call holds, usage kept there only."""

    event: UsageEvent
    held_in: tuple[str, ...] = ()
    uses: Sequence[tuple[Tenant, LiveUse]] = ()


class _Call:
    """Events that were reported together are answered together, once the last of them is."""

    def __init__(self, size: int) -> None:
        self.told: asyncio.Future[list[BookedAs]] = asyncio.get_running_loop().create_future()
        self._answers: list[BookedAs] = ["recorded"] * size
        self._left = size
        self._error: StoreUnavailableError | None = None

    def answer(self, place: int, answer: BookedAs) -> None:
        self._answers[place] = answer
        self._count_down()

    def fail(self, error: StoreUnavailableError) -> None:
        self._error = self._error or error
        self._count_down()

    def _count_down(self) -> None:
        self._left -= 1
        if self._left or self.told.done():
            return
        if self._error is None:
            self.told.set_result(self._answers)
        else:
            self.told.set_exception(self._error)
            self.told.exception()  # told to whoever waits; nobody may


class Waiting(msgspec.Struct, frozen=True):
    """One booking of a call."""

    booking: Booking
    since_seconds: float
    _call: _Call
    _place: int

    @property
    def event(self) -> UsageEvent:
        return self.booking.event

    def answer(self, answer: BookedAs) -> None:
        self._call.answer(self._place, answer)

    def fail(self, error: StoreUnavailableError) -> None:
        self._call.fail(error)


class WaitingLine:
    """First come, first served; bounded."""

    def __init__(self) -> None:
        self._line: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._line)

    def join(self, bookings: Sequence[Booking]) -> "asyncio.Future[list[BookedAs]]":
        """The answers, in their order. Raises StoreUnavailableError when too many wait."""
        if len(self._line) + len(bookings) > _MOST_WAITING:
            raise StoreUnavailableError("too many reports are waiting to be booked")
        call = _Call(len(bookings))
        now_seconds = asyncio.get_running_loop().time()
        self._line.extend(Waiting(booking, now_seconds, call, place) for place, booking in enumerate(bookings))
        return call.told

    def take(self, most_ids: int) -> list[Waiting]:
        """So many request ids, each as often as it waits among them."""
        batch: list[Waiting] = []
        ids: set[str] = set()
        while self._line and len(ids) < most_ids:
            batch.append(self._line.popleft())
            ids.add(batch[-1].event.request_id)
        return batch

    def fail_all(self, error: StoreUnavailableError) -> None:
        line, self._line = self._line, deque()
        fail(line, error)


def fail(waiting: Iterable[Waiting], error: StoreUnavailableError) -> None:
    for each in waiting:
        each.fail(error)
