"""What a client says that does not keep to HTTP: bytes in, bytes out."""

import asyncio

import msgspec

from tests.conftest import TestApi


class RawAnswer(msgspec.Struct, frozen=True):
    """`status` 0: the connection was closed without an answer. `rest` is what came after the first answer's head."""

    status: int
    head: str
    rest: bytes


async def send_raw(api: TestApi, request: bytes, *, half_close: bool = False) -> RawAnswer:
    """What the server answers until it closes the connection. Raises TimeoutError when it keeps it open for 5 s.

    `half_close` says after the first head that no more will be sent: a server that still waits for a body ends then.
    """
    reader, writer = await asyncio.open_connection(api.host, api.port)
    try:
        async with asyncio.timeout(5):
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if half_close:
                writer.write_eof()
            rest = await reader.read()
    except (ConnectionResetError, asyncio.IncompleteReadError):
        return RawAnswer(0, "", b"")
    finally:
        writer.close()
    return RawAnswer(int(head.split(" ", 2)[1]), head, rest)
