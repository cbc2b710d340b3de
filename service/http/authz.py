"""Forward auth: a gateway passes on what its client asked, and is told by status and headers whether it may go on.

The gateway proves that it is one. What its client can set, it must have overwritten or taken out: all `x-governance-*`.
"""

import asyncio
import secrets
from collections.abc import Mapping
from time import perf_counter
from typing import Any
from urllib.parse import unquote

import msgspec
from aiohttp import web

from service.domain.forwarded_body import ForwardedBody, read_forwarded_body
from service.domain.forwarded_uri import provider_and_model_in
from service.domain.inputs.calls import LONGEST_HOLD_SECONDS, AuthorizeInput
from service.domain.presented import OWN_HEADER, SHARED_HEADERS, virtual_key_in
from service.domain.refusals import RefusedError
from service.http.auth import GATEWAY_TOKEN
from service.http.authz_answers import Refused, allowed_response, refusal_of_verdict, refused_response
from service.http.calls import ADMISSION
from service.http.contract import ANY_METHOD, Contract, Header, Parameter, Route
from service.http.errors import ApiError, bad_request, refused
from service.http.parameters import LONGEST_TEXT
from service.http.request_ids import REQUEST_ID_HEADER, is_plain_request_id

_PATH = "/authz"
_READ_TIMEOUT_SECONDS = 1.0
# By the field of the call; a gateway says here what it knows better than URI and body.
_SAID: dict[str, str] = {
    "provider": "x-governance-provider",
    "model": "x-governance-model",
    "estimated_input_tokens": "x-governance-estimated-input-tokens",
    "max_output_tokens": "x-governance-max-output-tokens",
    "estimated_cost": "x-governance-estimated-cost",
    "ttl": "x-governance-ttl",
    "request_id": "x-governance-request-id",
}
_ORIGINAL_URIS = ("x-forwarded-uri", "x-original-uri")
# What a gateway overwrites or takes out of what its client sent.
HEADERS_OF_GATEWAYS = frozenset((GATEWAY_TOKEN, *_SAID.values(), *_ORIGINAL_URIS))
_ONCE = frozenset((OWN_HEADER, *SHARED_HEADERS, *_SAID.values(), *_ORIGINAL_URIS))
_DENY_STATUSES = {"401": 401, "403": 403}
_NO_BODY = ForwardedBody()


async def authorize_forwarded(request: web.Request) -> web.Response:
    """May the request go on, by its headers and its body?"""
    return await _answer(request, "")


async def authorize_forwarded_path(request: web.Request) -> web.Response:
    """As above, with the path of the request after `/authz`."""
    return await _answer(request, request.raw_path.partition("?")[0][len(_PATH) :])


async def _answer(request: web.Request, tail: str) -> web.Response:
    begun_seconds = perf_counter()
    deny_status = _DENY_STATUSES.get(request.query.get("deny_status", ""))
    try:
        verdict = await request.app[ADMISSION].authorize(await _call(request, tail))
    except RefusedError as error:
        return refused_response(_of_error(refused(error)), deny_status)
    except ApiError as error:
        return refused_response(_of_error(error), deny_status)
    if not verdict.allowed:
        return refused_response(refusal_of_verdict(verdict), deny_status)
    return allowed_response(verdict, overhead_ms=(perf_counter() - begun_seconds) * 1000)


async def _call(request: web.Request, tail: str) -> AuthorizeInput:
    """What the gateway says goes before the URI, and the URI before the body, as providers read it. Raises ApiError."""
    headers = _headers(request)
    provider, model = provider_and_model_in(_path(headers, tail))
    body = read_forwarded_body(await _body(request)) if request.body_exists else _NO_BODY
    found: dict[str, Any] = {
        "provider": provider,
        "model": model or body.model,
        "estimated_input_tokens": body.input_tokens,
        "max_output_tokens": body.max_output_tokens,
        "mcp_tools": body.mcp_tools,
        "request_id": _request_id(headers),
        "virtual_key": virtual_key_in(headers),
    }
    for field, name in _SAID.items():
        said = headers.get(name)
        if said:
            found[field] = said
    for field, value in found.items():
        # Bytes that are no UTF-8 among them.
        if isinstance(value, str) and not value.isprintable():
            raise bad_request(f"{_SAID.get(field, field)}: holds what is no text")
    try:
        call = msgspec.convert(found, AuthorizeInput, strict=False)
    except msgspec.ValidationError as error:
        raise bad_request(_fault(str(error))) from error
    # Not to be looked at again: they came as headers.
    call.headers = headers
    return call


def _headers(request: web.Request) -> dict[str, str]:
    """By names in lower case. Raises ApiError for one that is there twice, where it matters which one is meant."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    if len(headers) < len(request.headers):
        for name in _ONCE & headers.keys():
            if len(request.headers.getall(name)) > 1:
                raise bad_request(f"The header '{name}' is given more than once")
    headers.pop(GATEWAY_TOKEN, None)
    return headers


def _path(headers: Mapping[str, str], tail: str) -> str:
    """Of the original request. A gateway sets one of the headers, its client may have sent another: then neither."""
    uris = {headers[name] for name in _ORIGINAL_URIS if headers.get(name)} if tail in ("", "/") else {tail}
    return unquote(uris.pop().partition("?")[0]) if len(uris) == 1 else ""


async def _body(request: web.Request) -> bytes:
    """Raises ApiError 408 or 413."""
    if request.content.is_eof():
        return await request.read()
    try:
        async with asyncio.timeout(_READ_TIMEOUT_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise ApiError(408, "The body did not arrive in time", headers={"Connection": "close"}) from error


def _request_id(headers: Mapping[str, str]) -> str | None:
    """Clients may send this one: it names the call, but the same one twice is two calls."""
    given = headers.get(REQUEST_ID_HEADER.lower(), "")
    return f"{given}.{secrets.token_hex(8)}" if is_plain_request_id(given) else None


def _of_error(error: ApiError) -> Refused:
    return Refused(error.status, "invalid_request", error.message, headers=error.headers)


def _fault(text: str) -> str:
    """The decoder's words, with the header's name in place of the field's path."""
    what, _, field = text.partition(" - at `$.")
    name = field.partition("[")[0].rstrip("`")
    return f"{_SAID.get(name, name or 'The call')}: {what.replace(' | null', '')}"


_DENY_STATUS = Parameter(
    "deny_status",
    "text",
    "answer refusals with this status, for gateways that know no other; `x-governance-status` has the true one",
)
_NAME: dict[str, Any] = {"type": "string", "maxLength": LONGEST_TEXT, "pattern": "^[!-~]*$"}
_TOKENS: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 10**12}
_USD: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 10**6}
_SECONDS: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_HOLD_SECONDS}
_KINDS: dict[str, dict[str, Any]] = {
    "provider": _NAME,
    "model": _NAME,
    "estimated_input_tokens": _TOKENS,
    "max_output_tokens": _TOKENS,
    "estimated_cost": _USD,
    "ttl": _SECONDS,
    "request_id": _NAME | {"maxLength": 240},
}
_CONTRACT = Contract(
    says="May this request go on? With any method; 200 and nothing else says yes",
    query=(_DENY_STATUS,),
    refusals=(402, 409, 413, 429),
    media_types=(),
    headers=(
        Header(OWN_HEADER, "the virtual key; or one in Authorization, x-api-key, x-goog-api-key or api-key"),
        *(Header(name, f"what the gateway knows of the call: {field}", _KINDS[field]) for field, name in _SAID.items()),
        *(Header(name, "the original URI, which may name provider and model") for name in _ORIGINAL_URIS),
        Header(REQUEST_ID_HEADER.lower(), "the id of the call begins with it"),
    ),
)

ROUTES = (
    Route(ANY_METHOD, _PATH, "forward_auth", authorize_forwarded, _CONTRACT),
    Route(ANY_METHOD, f"{_PATH}/{{tail}}", "forward_auth", authorize_forwarded_path, _CONTRACT),
)
