"""A route and its contract: what it takes and answers, as the OpenAPI document has it."""

from typing import Any, Literal

import msgspec

from service.domain.access import RouteScope
from service.http.auth import Handler

API = "/api/governance"


class Parameter(msgspec.Struct, frozen=True):
    """A query parameter. A name that ends with `*` stands for all that begin so."""

    name: str
    kind: Literal["text", "number", "flag"]
    says: str


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """`body` is the type of the JSON body, `answer` the type of each field of the answer's JSON object."""

    says: str
    body: type[msgspec.Struct] | None = None
    answer: dict[str, Any] = {}
    query: tuple[Parameter, ...] = ()
    status: int = 200


class Route(msgspec.Struct, frozen=True):
    """`scope` is what a token needs for it; `open` needs none. An id in the path may hold anything but a slash."""

    method: str
    path: str
    scope: RouteScope
    handler: Handler
    contract: Contract


LIMIT = Parameter("limit", "number", "how many to answer: 25 unless told, 100 at most")
OFFSET = Parameter("offset", "number", "how many to leave out")
SEARCH = Parameter("search", "text", "what the name holds, in any case")
FROM_MEMORY = Parameter("from_memory", "flag", "usage is live with it and without it")
PAGE = (LIMIT, OFFSET, SEARCH)


def one(field: str, kind: Any) -> dict[str, Any]:
    """The answer to a read of one entity."""
    return {field: kind}


def page(field: str, kind: Any) -> dict[str, Any]:
    """The answer to a read of a list."""
    return {field: list[kind], "count": int, "total_count": int, "limit": int, "offset": int}


def change(field: str | None = None, kind: Any = None) -> dict[str, Any]:
    """The answer to a change: `warnings` is there when something of the body was not understood."""
    return {"message": str, **({field: kind} if field else {}), "warnings": list[dict[str, str]]}
