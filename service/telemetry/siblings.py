"""The workers of one `serve` tell each other their metrics, so that a scrape of any of them is answered for all.

Each listens on a socket in a folder of the supervisor's, made anew at every start and closed to other users. Numbers
stay in the worker that counts them: nothing is shared while it works, and one that ends takes its own along, which
Prometheus sees as the restart of a counter, by the label `worker`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import structlog

from service.telemetry.exposition import Block

_ANSWER_SECONDS = 1.0
_LARGEST_ANSWER_BYTES = 16 * 1024 * 1024

log = structlog.get_logger()
_decoder = msgspec.msgpack.Decoder(list[Block])


class Siblings(msgspec.Struct, frozen=True):
    """Worker `number` of `count`, from 1. The only one needs no folder."""

    number: int = 1
    count: int = 1
    folder: Path = Path()

    @asynccontextmanager
    async def answering(self, read: Callable[[], Awaitable[list[Block]]]) -> AsyncIterator[None]:
        """Answer the others meanwhile."""
        if self.count == 1:
            yield
            return

        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(msgspec.msgpack.encode(await read()))
            writer.close()
            await writer.wait_closed()

        socket = self._socket(self.number)
        # Of a worker of this number that was killed.
        socket.unlink(missing_ok=True)
        try:
            server = await asyncio.start_unix_server(answer, socket)
        except OSError as error:
            # A temporary folder whose path is too long for a socket. They see it as a worker that is not up.
            log.warning("the metrics of this worker cannot be read by the others", reason=error.strerror or str(error))
            yield
            return
        try:
            yield
        finally:
            server.close()

    async def ask(self) -> dict[int, list[Block] | None]:
        """The others' metrics; None for one that does not answer in time."""
        numbers = [number for number in range(1, self.count + 1) if number != self.number]
        return dict(zip(numbers, await asyncio.gather(*map(self._ask, numbers)), strict=True))

    async def _ask(self, number: int) -> list[Block] | None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._socket(number), limit=_LARGEST_ANSWER_BYTES)
                try:
                    answer = await reader.read(_LARGEST_ANSWER_BYTES)
                    while chunk := await reader.read(_LARGEST_ANSWER_BYTES - len(answer)):
                        answer += chunk
                finally:
                    writer.close()
                return _decoder.decode(answer)
        except (OSError, TimeoutError, msgspec.DecodeError):
            return None

    def _socket(self, number: int) -> Path:
        return self.folder / f"{number}.sock"
