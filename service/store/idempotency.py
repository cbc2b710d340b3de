"""First answers by Idempotency-Key."""

import msgspec

from service.store.postgres import Connection
from service.store.queries import queries


class FirstAnswer(msgspec.Struct, frozen=True):
    """What was answered to the request with this fingerprint."""

    fingerprint: bytes
    status: int
    answer_sealed: bytes


async def claim_key(connection: Connection, *, actor: str, key: str, fingerprint: bytes) -> bool:
    """Whether the key is new. Waits for a transaction under way that claimed it."""
    claimed: int | None = await queries.claim_idempotency_key(connection, actor=actor, key=key, fingerprint=fingerprint)
    return claimed is not None


async def keep_answer(connection: Connection, *, actor: str, key: str, answer: FirstAnswer) -> None:
    await queries.keep_first_answer(
        connection, actor=actor, key=key, status=answer.status, answer_sealed=answer.answer_sealed
    )


async def find_first_answer(connection: Connection, *, actor: str, key: str) -> FirstAnswer | None:
    row = await queries.find_first_answer(connection, actor=actor, key=key)
    return None if row is None else FirstAnswer(row["fingerprint"], row["status"], row["answer_sealed"])
