"""Run a change: in one transaction, once for each Idempotency-Key, again and alone when it met another half-way."""

from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from service.domain.refusals import conflict
from service.domain.sealing import NotOpenedError, Sealer
from service.governance.changes.change import Author, Change
from service.store.idempotency import FirstAnswer, claim_key, find_first_answer, keep_answer
from service.store.postgres import Connection, Store, StoreUnavailableError
from service.store.refusals import ConcurrentChangeError
from service.store.turns import take_turn

_MAX_ATTEMPTS = 5


class Once(msgspec.Struct, frozen=True):
    """`key` is the client's; `fingerprint` is of all it asked for with it."""

    key: str
    fingerprint: bytes


class Answer(msgspec.Struct, frozen=True):
    """`replayed`: the first answer to this Idempotency-Key, not another change. `etag` is the entity's now."""

    status: int
    body: bytes
    etag: str = ""
    replayed: bool = False


Work = Callable[[Change], Awaitable[Answer]]


class Changes:
    """Runs changes. What a refused one did is undone."""

    def __init__(self, store: Store, *, sealer: Sealer, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock

    async def run(self, work: Work, *, author: Author, once: Once | None = None, if_match: str | None = None) -> Answer:
        """Raises RefusedError and StoreUnavailableError; nothing was changed then."""
        for attempt in range(_MAX_ATTEMPTS):
            try:
                async with self._store.transaction() as connection:
                    await take_turn(connection, alone=attempt > 0)
                    change = Change(
                        connection=connection, sealer=self._sealer, now=self._clock(), author=author, if_match=if_match
                    )
                    return await (work(change) if once is None else self._once(change, once, work))
            except ConcurrentChangeError:
                continue
        raise StoreUnavailableError("too many changes of the same entities at once")

    async def _once(self, change: Change, once: Once, work: Work) -> Answer:
        """Who comes second waits here until the first has committed, and gets its answer."""
        if not await claim_key(change.connection, actor=change.author.name, key=once.key, fingerprint=once.fingerprint):
            return await self._first_answer(change.connection, change.author.name, once)
        answer = await work(change)
        sealed = self._sealer.seal(answer.body.decode(), belongs_to=_sealed_for(change.author.name, once.key))
        await keep_answer(
            change.connection, actor=change.author.name, key=once.key, answer=FirstAnswer(b"", answer.status, sealed)
        )
        return answer

    async def _first_answer(self, connection: Connection, actor: str, once: Once) -> Answer:
        first = await find_first_answer(connection, actor=actor, key=once.key)
        if first is None:
            raise ConcurrentChangeError
        if first.fingerprint != once.fingerprint:
            raise conflict("This Idempotency-Key was used for another request")
        try:
            body = self._sealer.open(first.answer_sealed, belongs_to=_sealed_for(actor, once.key))
        except NotOpenedError as error:
            raise conflict("The first answer to this Idempotency-Key can no longer be read") from error
        return Answer(first.status, body.encode(), replayed=True)


def _sealed_for(actor: str, key: str) -> str:
    return f"idempotency_keys.answer:{actor}:{key}"
