"""One round trip on one connection: commands written together, and each reply given to whoever waits for it."""

import math
from collections.abc import Sequence

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, ResponseError

from service.counters.commands import ASKING, evaluate
from service.counters.waiting import Refusal, Waiting


async def exchange(connection: AbstractConnection, batch: Sequence[Waiting]) -> list[Refusal]:
    """Give everyone their answer, and return those who got none.

    Whatever it raises: the connection must not be used again, since replies may be on their way. Redis may have lost
    a script at any moment; its calls are then made again, by its text.
    """
    refusals = await _converse(connection, batch, [waiting.command for waiting in batch])
    lost = [refusal.waiting for refusal in refusals if isinstance(refusal.error, NoScriptError)]
    if not lost:
        return refusals
    others = [refusal for refusal in refusals if not isinstance(refusal.error, NoScriptError)]
    return others + await _converse(connection, lost, [evaluate(waiting.call) for waiting in lost if waiting.call])


async def _converse(
    connection: AbstractConnection, batch: Sequence[Waiting], commands: Sequence[bytes]
) -> list[Refusal]:
    packed = [ASKING + command if waiting.asking else command for waiting, command in zip(batch, commands, strict=True)]
    await connection.send_packed_command(b"".join(packed))
    refusals: list[Refusal] = []
    for waiting in batch:
        try:
            if waiting.asking:
                await connection.read_response(timeout=math.inf)
            # Without a time-out of its own, which would cost as much as the reply: the caller's is around the whole.
            reply = await connection.read_response(timeout=math.inf)
        except ResponseError as error:
            refusals.append(Refusal(waiting, error))
        else:
            if not waiting.answer.done():  # who waited may have gone away
                waiting.answer.set_result(reply)
    return refusals
