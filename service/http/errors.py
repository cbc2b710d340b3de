"""Refusals, in the envelope of Bifrost's API: every answer that is not a success has this one shape."""

from collections.abc import Mapping

import msgspec
from aiohttp import hdrs, web
from multidict import CIMultiDict

from service.domain.refusals import RefusalKind, RefusedError
from service.http.heads import HEADERS_OF_ALL

_JSON_HEADERS = CIMultiDict({hdrs.CONTENT_TYPE: "application/json", **HEADERS_OF_ALL})
_STATUSES: dict[RefusalKind, int] = {
    "invalid": 400,
    "not_found": 404,
    "conflict": 409,
    "stale": 412,
    "too_large": 413,
}


class ApiError(Exception):
    """A refusal the client should read: raise it anywhere below a handler. `path` is where in the body the fault is."""

    def __init__(
        self, status: int, message: str, *, path: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.path = path
        self.headers = dict(headers or {})


def bad_request(message: str) -> ApiError:
    return ApiError(400, message)


def not_found(message: str) -> ApiError:
    return ApiError(404, message)


def unavailable(message: str) -> ApiError:
    """The client may send the same again: nothing was done."""
    return ApiError(503, message, headers={"Retry-After": "1"})


def refused(error: RefusedError) -> ApiError:
    return ApiError(_STATUSES[error.kind], error.message, path=error.path)


def error_response(error: ApiError) -> web.Response:
    shown = {"message": error.message} if error.path is None else {"message": error.message, "path": error.path}
    body = {"is_bifrost_error": False, "status_code": error.status, "error": shown, "extra_fields": {}}
    return json_response(msgspec.json.encode(body), status=error.status, headers=error.headers)


def json_response(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    response = web.Response(body=body, status=status, headers=_JSON_HEADERS)
    if headers:
        response.headers.update(headers)
    return response
