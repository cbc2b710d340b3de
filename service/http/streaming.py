"""Send a large answer piece by piece: a reader gets as much as it takes, and is never waited for for long."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

import structlog
from aiohttp import hdrs, web

from service.http.heads import complete_head

log = structlog.get_logger()

# What one system call sends, at most: measured with 8 MB answers, more is no faster. No more pieces than it may take.
_BATCH_BYTES = 256 * 1024
_BATCH_PIECES = 512
# A reader that takes nothing in this time is not reading.
_PATIENCE_SECONDS = 30.0


async def send_pieces(
    request: web.Request, pieces: Iterable[bytes], *, size_bytes: int, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer 200 with the pieces, `size_bytes` in all. A reader that stops reading is disconnected."""
    response = web.StreamResponse(headers={**headers, "Content-Length": str(size_bytes)})
    response.content_type = "application/json"
    complete_head(response)
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    patience = _Patience(request.transport)
    try:
        request.writer.send_headers()
        for batch in _batches(pieces):
            _write(request.transport, batch)
            await request.writer.drain()
            patience.taken += 1
        await response.write_eof()
    except ConnectionError:
        return response  # the reader went away, or was sent away: nobody is left to tell
    finally:
        patience.end()
    return response


def _write(transport: asyncio.Transport | None, batch: Sequence[bytes]) -> None:
    """Many pieces, none copied: aiohttp's own `write` takes one, and joining them costs as much as sending them."""
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    transport.writelines(batch)


class _Patience:
    """Breaks a connection off when nothing was `taken` for `_PATIENCE_SECONDS`, or up to twice that.

    One timer for an answer: a time-out around each write cost a sixth of sending it.
    """

    def __init__(self, transport: asyncio.Transport | None) -> None:
        self.taken = 0
        self._seen = 0
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_PATIENCE_SECONDS, self._look)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        if self.taken > self._seen:
            self._seen = self.taken
            self._timer = self._loop.call_later(_PATIENCE_SECONDS, self._look)
        elif self._transport is not None:
            self._transport.abort()


def _batches(pieces: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size_bytes = 0
    for piece in pieces:
        batch.append(piece)
        size_bytes += len(piece)
        if size_bytes >= _BATCH_BYTES or len(batch) == _BATCH_PIECES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


async def send_chunks(request: web.Request, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
    """Answer 200 with chunks that are made one by one, of which nobody knows the sum.

    When one cannot be made the connection is broken off: an answer that looks whole is whole.
    """
    response = web.StreamResponse()
    response.content_type = "application/json"
    complete_head(response)
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    try:
        async for chunk in chunks:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        return response  # the reader went away: nobody is left to tell
    except Exception as error:  # noqa: BLE001  # whatever it is, the answer has begun
        log.warning("a list could not be read to its end", kind=type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
    return response
