"""Handlers that change something: read the body, run the change, answer what became of it."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from aiohttp import hdrs, web
from msgspec import Raw

from service.domain.documents import FieldWarning
from service.governance.changes.change import Author, Change
from service.governance.changes.run import Answer, Changes, Once, Work
from service.governance.configuration import tag_json
from service.http.auth import PRINCIPAL, Handler
from service.http.body import read_body
from service.http.errors import bad_request, json_response
from service.http.parameters import path_id
from service.http.request_ids import REQUEST_ID_HEADER, request_id

CHANGES = web.AppKey("changes", Changes)
_IDEMPOTENCY_KEY = "Idempotency-Key"
_PLAIN_KEY = re.compile(r"[\x21-\x7e]{1,255}")
T = TypeVar("T", bound=msgspec.Struct)


def creates(
    field: str, message: str, kind: type[T], use_case: Callable[[Change, T], Awaitable[bytes]], *, status: int = 200
) -> Handler:
    """A POST that makes an entity; with an Idempotency-Key it does so once. `field` is its name in the answer."""

    async def handle(request: web.Request) -> web.Response:
        body = await read_body(request, kind)

        async def work(change: Change) -> Answer:
            return changed(message, {field: await use_case(change, body.given)}, body.warnings, status=status)

        return await run_change(request, work, once=once_of(request, body.raw))

    return handle


def updates(
    field: str, message: str, kind: type[T], use_case: Callable[[Change, str, T], Awaitable[bytes]], *, id_name: str
) -> Handler:
    """A PUT of an entity by its id in the path; with If-Match only as the client last saw it."""

    async def handle(request: web.Request) -> web.Response:
        entity_id = path_id(request, id_name)
        body = await read_body(request, kind)

        async def work(change: Change) -> Answer:
            entity = await use_case(change, entity_id, body.given)
            return changed(message, {field: entity}, body.warnings)

        return await run_change(request, work)

    return handle


def deletes(message: str, use_case: Callable[[Change, str], Awaitable[None]], *, id_name: str) -> Handler:
    """A DELETE of an entity by its id in the path."""

    async def handle(request: web.Request) -> web.Response:
        entity_id = path_id(request, id_name)

        async def work(change: Change) -> Answer:
            await use_case(change, entity_id)
            return changed(message, {}, [])

        return await run_change(request, work)

    return handle


async def run_change(request: web.Request, work: Work, *, once: Once | None = None) -> web.Response:
    """Run it in the name of who asks. Raises what Changes.run raises."""
    author = Author(name=request[PRINCIPAL].name, request_id=request_id(request))
    answer = await request.app[CHANGES].run(work, author=author, once=once, if_match=request.headers.get(hdrs.IF_MATCH))
    headers = {REQUEST_ID_HEADER: author.request_id}
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    if answer.etag:
        headers[hdrs.ETAG] = answer.etag
    return json_response(answer.body, status=answer.status, headers=headers)


def changed(message: str, fields: dict[str, bytes], warnings: list[FieldWarning], *, status: int = 200) -> Answer:
    """The answer to a change: a message, the entity's JSON, and what of the body was not understood."""
    document: dict[str, Any] = {"message": message, **{name: Raw(body) for name, body in fields.items()}}
    if warnings:
        document["warnings"] = warnings
    etag = tag_json(next(iter(fields.values()))) if len(fields) == 1 else ""
    return Answer(status, msgspec.json.encode(document), etag=etag)


def once_of(request: web.Request, raw: bytes) -> Once | None:
    """What the Idempotency-Key of the request stands for. Raises ApiError for one that is none."""
    given = request.headers.getall(_IDEMPOTENCY_KEY, [])
    if not given:
        return None
    if len(given) > 1 or not _PLAIN_KEY.fullmatch(given[0]):
        raise bad_request(f"The header '{_IDEMPOTENCY_KEY}' must be one value of 1 to 255 visible ASCII characters")
    asked = b"\n".join((request.method.encode(), request.raw_path.encode(), raw))
    return Once(given[0], hashlib.sha256(asked).digest())
