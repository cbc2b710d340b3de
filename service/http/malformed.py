"""Requests that are not HTTP, or too large in their head: refused in the envelope, and nothing of them is repeated.

aiohttp answers these below any middleware, in plain text that quotes the malformed line, which may hold a secret. It
has no hook for it, so its method is replaced.
"""

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from service.http.errors import ApiError, error_response


async def answer_expectation(request: web.Request) -> web.StreamResponse | None:
    """Expect: 100-continue is met, anything else refused; aiohttp asks this before any middleware."""
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        response = error_response(ApiError(417, "Only 'Expect: 100-continue' can be met"))
        response.force_close()
        return response
    if request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What was written is not a part of the answer.
        request.writer.output_size = 0
    return None


def answer_malformed_requests() -> None:
    """For every server of this process; safe to call again."""
    RequestHandler.handle_error = _handle_error  # type: ignore[assignment, method-assign]  # see the module's docstring


def _handle_error(
    _self: RequestHandler,
    request: web.BaseRequest,
    status: int = 500,
    exc: BaseException | None = None,
    message: str | None = None,  # noqa: ARG001  # aiohttp names it; it quotes the request
) -> web.Response:
    if request.writer.output_size > 0:
        # A part of an answer is on its way: only the connection can tell that it ended.
        raise ConnectionError("the answer was already begun")
    malformed = isinstance(exc, HttpProcessingError)
    text = "The request is not well-formed HTTP, or its head is too large" if malformed else "Internal error"
    response = error_response(ApiError(status if malformed else 500, text))
    response.headers["Server"] = "governance"
    response.force_close()
    return response
