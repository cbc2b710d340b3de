"""Handlers that read entities: one by its id, or a page of them with how many there are."""

from collections.abc import AsyncIterator, Sequence
from itertools import chain

import msgspec
from aiohttp import hdrs, web

from service.governance.tree.entities import Entities, EntityReader
from service.governance.tree.shown import Show
from service.http.auth import PRINCIPAL, Handler
from service.http.errors import json_response, not_found
from service.http.parameters import path_id, query_number, query_text
from service.http.streaming import send_chunks
from service.store.lists import IdPage

ENTITY_READER = web.AppKey("entity_reader", EntityReader)
USAGE_SOURCE = "X-Governance-Usage-Source"

DEFAULT_LIMIT = 25
LARGEST_LIMIT = 100
# More than this is sent piece by piece, each piece read when the one before was taken.
_ENTITIES_PER_PIECE = 250


class Page(msgspec.Struct, frozen=True):
    """`limit` None: all."""

    search: str | None = None
    limit: int | None = None
    offset: int = 0


def query_page(request: web.Request, *, also_narrowed: bool = False) -> Page:
    """`limit`, `offset` and `search`. Without any of them, and not `also_narrowed`, everything is meant.

    A limit is clamped to 1–100 and counts as 25 when it is left out, as Bifrost has it.
    """
    search = query_text(request, "search")
    limit, offset = query_number(request, "limit"), query_number(request, "offset")
    if search is None and limit is None and offset is None and not also_narrowed:
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
        headers = {USAGE_SOURCE: found.usage_source, hdrs.ETAG: found.etags[0]}
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


def _head(field: str) -> bytes:
    return b'{"%s":[' % field.encode()


def _tail(count: int, total_count: int, limit: int, page: Page) -> bytes:
    return b'],"count":%d,"total_count":%d,"limit":%d,"offset":%d}' % (count, total_count, limit, page.offset)
