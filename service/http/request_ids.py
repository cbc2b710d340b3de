"""What a request is called in answers, the audit log and the log."""

import re
from uuid import uuid4

from aiohttp import web

REQUEST_ID_HEADER = "X-Request-Id"
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REQUEST_ID = web.RequestKey("request_id", str)


def request_id(request: web.Request) -> str:
    """The client's, when it is one that may be repeated in headers and logs; else one made when first asked for."""
    known = request.get(_REQUEST_ID)
    if known is None:
        given = request.headers.get(REQUEST_ID_HEADER, "")
        known = request[_REQUEST_ID] = given if is_plain_request_id(given) else str(uuid4())
    return known


def is_plain_request_id(text: str) -> bool:
    """Whether it may be repeated in headers and logs."""
    return _PLAIN.fullmatch(text) is not None
