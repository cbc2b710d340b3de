"""A Redis Cluster: which primary has which slot, and what is done with calls while that changes."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from service.counters.calls import CountersUnavailableError
from service.counters.commands import CLUSTER_SLOTS
from service.counters.lane import LONGEST_QUEUE, Lane
from service.counters.redis_url import Address
from service.counters.waiting import Refusal, Traffic, Waiting

# A slot on the move sends a call to and fro; past so many times its caller is told.
_MOST_REDIRECTIONS = 5
_TRY_AGAIN_SECONDS = 0.01
# How often the servers are asked for the slots while calls go astray or unanswered, and how many at a time.
_LEARN_INTERVAL_SECONDS = 0.5
_ASKED_AT_ONCE = 3

SlotRanges = dict[Address, list[tuple[int, int]]]


class Cluster:
    """Learns the slots when first used, and again whenever a server says otherwise or nothing."""

    is_cluster = True

    def __init__(self, seeds: Sequence[Address], open_lane: Callable[[Address], Lane], traffic: Traffic) -> None:
        self._seeds = seeds
        self._traffic = traffic
        self._open_lane = open_lane
        self._lanes: dict[Address, Lane] = {}
        self._owners: list[Lane | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._ownerless: list[Waiting] = []
        self._learning: asyncio.Task[None] | None = None
        self._times_learned = 0
        self._learn_again_at_seconds = 0.0
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def lanes(self) -> Sequence[Lane]:
        return tuple(self._lanes.values())

    def put(self, waiting: Waiting) -> None:
        """Send it to the primary of its slot; without a known one it waits until the slots are learned."""
        lane = self._owners[slot_of(waiting)]
        if lane is not None:
            lane.put(waiting)
        elif len(self._ownerless) >= LONGEST_QUEUE:
            self._traffic.refuse([waiting], "too_many")
        elif self._learn_soon():
            self._ownerless.append(waiting)
        else:
            self._traffic.refuse([waiting], "not_asked")

    async def find_lanes(self) -> Sequence[Lane]:
        """One to each primary there is now. Raises CountersUnavailableError."""
        if self._learn_soon() and self._learning:
            await asyncio.wait({self._learning})
        primaries = {id(lane): lane for lane in self._owners if lane is not None}
        if not primaries:
            raise CountersUnavailableError("no server of the cluster answers")
        return tuple(primaries.values())

    async def close(self) -> None:
        self._closed = True
        if self._learning:
            self._learning.cancel()
            await asyncio.wait({self._learning})
        self._traffic.refuse(self._ownerless, "closed")
        self._ownerless.clear()
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()), *self._closing)

    def _learn_soon(self) -> bool:
        """Whether the slots are being learned; they are when that was not done just now."""
        if self._learning and not self._learning.done():
            return True
        if self._closed or time.monotonic() < self._learn_again_at_seconds:
            return False
        self._learning = asyncio.create_task(self._learn())
        return True

    async def _learn(self) -> None:
        try:
            self._adopt(await self._ask_for_slots())
        finally:
            self._learn_again_at_seconds = time.monotonic() + _LEARN_INTERVAL_SECONDS
            ownerless, self._ownerless = self._ownerless, []
            for waiting in ownerless:
                if lane := self._owners[slot_of(waiting)]:
                    lane.put(waiting)
                else:
                    self._traffic.refuse([waiting], "no_answer")

    async def _ask_for_slots(self) -> SlotRanges:
        """What the first of a few servers to answer says; nothing when none of them does."""
        asked = {self._lane_at(address).send(CLUSTER_SLOTS): address for address in self._whom_to_ask()}
        pending = set(asked)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for answer in done:
                    if answer.exception() is None and (slots := read_slots(answer.result(), asked[answer])):
                        return slots
        finally:
            for answer in pending:
                answer.cancel()
        return {}

    def _whom_to_ask(self) -> list[Address]:
        """Each time others, and those of the URL as well: all that are known may be gone."""
        self._times_learned += 1
        answering = [address for address, lane in self._lanes.items() if not lane.breaker.is_open]
        both = (_rotated(answering, self._times_learned), _rotated(self._seeds, self._times_learned))
        return list(dict.fromkeys([*both[0][: _ASKED_AT_ONCE - 1], *both[1], *both[0]]))[:_ASKED_AT_ONCE]

    def _adopt(self, slots: SlotRanges) -> None:
        if not slots:
            return
        owners: list[Lane | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for address, ranges in slots.items():
            for first, last in ranges:
                owners[first : last + 1] = [self._lane_at(address)] * (last - first + 1)
        self._owners = owners
        for address in self._lanes.keys() - slots.keys():
            task = asyncio.create_task(self._lanes.pop(address).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _lane_at(self, address: Address) -> Lane:
        if address not in self._lanes:
            lane = self._lanes[address] = self._open_lane(address)
            lane.redirect = partial(self._redirect, address)
            lane.on_silence = self._learn_soon
        return self._lanes[address]

    def _redirect(self, answering: Address, refusal: Refusal) -> bool:
        waiting, error = refusal.waiting, refusal.error
        if isinstance(error, ClusterDownError | MovedError):
            self._learn_soon()
        is_final = self._closed or waiting.redirections >= _MOST_REDIRECTIONS
        if is_final or not isinstance(error, AskError | TryAgainError):
            return False
        waiting.redirections += 1
        waiting.asking = isinstance(error, AskError) and not isinstance(error, MovedError)
        if isinstance(error, TryAgainError):
            pause_seconds = _TRY_AGAIN_SECONDS * 2**waiting.redirections
            asyncio.get_running_loop().call_later(pause_seconds, self.put, waiting)
            return True
        lane = self._lane_at(Address(error.host or answering.host, error.port))
        if not waiting.asking:
            self._owners[error.slot_id] = lane
        lane.put(waiting)
        return True


def slot_of(waiting: Waiting) -> int:
    """The slot of its keys, which are of one tenant."""
    if waiting.call is None or not waiting.call.keys:
        return 0
    return key_slot(waiting.call.keys[0].encode())


def read_slots(answer: Any, asked: Address) -> SlotRanges:
    """What CLUSTER SLOTS says of the primaries; a server without a host of its own is where it was asked."""
    slots: SlotRanges = {}
    for first, last, (host, port, *_), *_ in answer:
        address = Address(host.decode() if host else asked.host, port)
        slots.setdefault(address, []).append((first, last))
    return slots


def _rotated(addresses: Sequence[Address], by: int) -> list[Address]:
    start = by % len(addresses) if addresses else 0
    return [*addresses[start:], *addresses[:start]]
