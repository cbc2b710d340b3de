"""What every request passes through: the bounds of a request, and the one place where a failure becomes an answer."""

import time
import traceback
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import HttpVersion10, HttpVersion11, hdrs, web

from service.domain.refusals import RefusedError
from service.http.answers import ANSWERS
from service.http.errors import ApiError, error_response, refused, unavailable
from service.http.heads import complete_head
from service.http.request_ids import request_id
from service.store.postgres import StoreUnavailableError
from service.telemetry.correlation import enter_request, leave_request

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_MESSAGES = {
    404: "No such route: {method} {path}",
    405: "Method {method} is not allowed for {path}",
    413: "The request body is too large",
}


@web.middleware
async def answer_failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong below is answered in the envelope; a fault of ours is a 500 without its inside."""
    begun_seconds = time.perf_counter()
    entered = enter_request(request_id, request)
    try:
        _check_bounds(request)
        response = await handler(request)
    except ApiError as error:
        response = error_response(error)
    except RefusedError as error:
        response = error_response(refused(error))
    except StoreUnavailableError as error:
        response = error_response(unavailable(str(error)))
    except web.HTTPException as error:
        response = error_response(_in_our_words(request, error))
    except Exception as error:  # noqa: BLE001  # the last resort: nothing may reach the client as a traceback
        _log_fault(error)
        response = error_response(ApiError(500, "Internal error"))
    complete_head(response)
    request.app[ANSWERS].add(request, response, time.perf_counter() - begun_seconds)
    leave_request(entered)
    return response


def _check_bounds(request: web.Request) -> None:
    if request.version not in (HttpVersion10, HttpVersion11):
        raise ApiError(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here")
    # Before any of the body is read; what is chunked is measured while it is read.
    if (request.content_length or 0) > request.client_max_size:
        raise ApiError(413, _MESSAGES[413], headers={"Connection": "close"})


def _in_our_words(request: web.Request, error: web.HTTPException) -> ApiError:
    message = _MESSAGES.get(error.status, error.reason)
    kept = {str(name): error.headers[name] for name in (hdrs.ALLOW, hdrs.LOCATION) if name in error.headers}
    shown = message.format(method=request.method, path=request.path[:255])
    return ApiError(error.status, shown, headers=kept)


def _log_fault(error: Exception) -> None:
    """Where and what kind, but not the message: it may quote what a client sent."""
    where = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error("unexpected failure", kind=type(error).__name__, where=where[-8:])
