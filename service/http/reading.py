"""Handlers that read entities: one by its id, or a page of them with how many there are."""

from collections.abc import AsyncIterator, Sequence
from itertools import chain
from typing import Protocol

import msgspec
from aiohttp import hdrs, web

from service.governance.tree.entities import Entities, EntityReader
from service.governance.tree.shown import Show
from service.http.auth import PRINCIPAL, Handler
from service.http.errors import json_response, not_found
from service.http.parameters import path_id, query_flag, query_number, query_text
from service.http.streaming import send_chunks
from service.store.lists import IdPage
from service.store.postgres import Connection

ENTITY_READER = web.AppKey("entity_reader", EntityReader)
USAGE_SOURCE = "X-Governance-Usage-Source"

DEFAULT_LIMIT = 25
LARGEST_LIMIT = 100
# More than this is sent piece by piece, each piece read when the one before was taken.
_ENTITIES_PER_PIECE = 250


class ListIds(Protocol):
    """Answers the next `limit` ids in order, from the one after `after`; the empty text is before all."""

    async def __call__(self, connection: Connection, after: str, *, limit: int) -> list[str]: ...


class Page(msgspec.Struct, frozen=True):
    """`limit` None: all."""

    search: str | None = None
    limit: int | None = None
    offset: int = 0


def query_page(request: web.Request, *, strict: bool = False, unbounded: bool = False) -> Page:
    """`limit`, `offset` and `search`. Without any of them everything is meant.

    A limit is clamped to 1–100 and counts as 25 when it is left out, as Bifrost has it; `unbounded` takes it as it is.
    `strict` lists refuse a negative number.
    """
    if not request.query_string:
        return Page()
    search = query_text(request, "search")
    limit, offset = (query_number(request, name, negative=not strict) for name in ("limit", "offset"))
    if unbounded:
        return Page(search, limit or None, offset or 0)
    if search is None and limit is None and offset is None:
        return Page()
    if limit is None or limit <= 0:
        limit = DEFAULT_LIMIT
    return Page(search, min(limit, LARGEST_LIMIT), max(offset or 0, 0))


def reads(field: str, label: str, show: Show, *, id_name: str) -> Handler:
    """A GET of one entity by its id in the path, with the entity tag of its configuration."""

    async def handle(request: web.Request) -> web.Response:
        found = await read_entities(request, show, [path_id(request, id_name)])
        if not found.bodies:
            raise not_found(f"{label} not found")
        headers = {USAGE_SOURCE: found.usage_source, hdrs.ETAG: found.etag(0)}
        return json_response(b'{"%s":%s}' % (field.encode(), found.bodies[0]), headers=headers)

    return handle


async def read_entities(request: web.Request, show: Show, ids: Sequence[str]) -> Entities:
    """With the values of virtual keys only for who may see them."""
    return await request.app[ENTITY_READER].read(show, ids, masked=not request[PRINCIPAL].sees_secrets)


async def list_response(request: web.Request, field: str, show: Show, ids: IdPage, page: Page) -> web.StreamResponse:
    """The entities of a page in order; `count` is of those that are still there."""
    limit = ids.total_count if page.limit is None else page.limit
    if len(ids.ids) <= _ENTITIES_PER_PIECE:
        found = await read_entities(request, show, ids.ids)
        body = b"".join((_head(field), b",".join(found.bodies), _tail(len(found.bodies), ids.total_count, limit, page)))
        return json_response(body, headers={USAGE_SOURCE: found.usage_source})

    async def pieces() -> AsyncIterator[bytes]:
        yield _head(field)
        count = 0
        for start in range(0, len(ids.ids), _ENTITIES_PER_PIECE):
            found = await read_entities(request, show, ids.ids[start : start + _ENTITIES_PER_PIECE])
            if found.bodies:
                yield b",".join(chain([b""] if count else [], found.bodies))
            count += len(found.bodies)
        yield _tail(count, ids.total_count, limit, page)

    return await send_chunks(request, pieces())


def lists_all(field: str, show: Show, list_ids: ListIds, *, empty: bytes = b"[]") -> Handler:
    """A GET of all there is of a kind, read and sent in bounded pieces; `empty` is the list when there is nothing.

    What is made or removed meanwhile may be in it or not; nothing is in it twice.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        query_flag(request, "from_memory")
        ids = await _ids_after(request, list_ids, "")
        if len(ids) == _ENTITIES_PER_PIECE:
            return await send_chunks(request, pieces(request, ids))
        found = await read_entities(request, show, ids)
        listed = b"[%s]" % b",".join(found.bodies) if found.bodies else empty
        body = b'{"%s":%s,"count":%d}' % (field.encode(), listed, len(found.bodies))
        return json_response(body, headers={USAGE_SOURCE: found.usage_source})

    async def pieces(request: web.Request, ids: list[str]) -> AsyncIterator[bytes]:
        yield _head(field)
        count = 0
        while ids:
            found = await read_entities(request, show, ids)
            if found.bodies:
                yield b",".join(chain([b""] if count else [], found.bodies))
            count += len(found.bodies)
            ids = await _ids_after(request, list_ids, ids[-1])
        yield b'],"count":%d}' % count

    return handle


async def _ids_after(request: web.Request, list_ids: ListIds, after: str) -> list[str]:
    async def find(connection: Connection, after: str) -> list[str]:
        return await list_ids(connection, after, limit=_ENTITIES_PER_PIECE)

    return await request.app[ENTITY_READER].list_ids(find, after)


def _head(field: str) -> bytes:
    return b'{"%s":[' % field.encode()


def _tail(count: int, total_count: int, limit: int, page: Page) -> bytes:
    return b'],"count":%d,"total_count":%d,"limit":%d,"offset":%d}' % (count, total_count, limit, page.offset)
