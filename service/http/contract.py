"""A route and its contract: what it takes and answers, as the OpenAPI document has it."""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from service.domain.access import RouteScope
from service.domain.documents import FieldWarning
from service.http.auth import Handler

API = "/api/governance"
JSON = "application/json"
# Of a route that answers every method alike.
ANY_METHOD = "*"


class Parameter(msgspec.Struct, frozen=True):
    """A query parameter. A name that ends with `*` stands for all that begin so; `choices` are all it may be.

    `narrowed` is what JSON Schema has to say of it beyond its kind.
    """

    name: str
    kind: Literal["text", "number", "flag", "instant"]
    says: str
    choices: tuple[str, ...] = ()
    narrowed: dict[str, Any] = {}


class Header(msgspec.Struct, frozen=True):
    """A header a request may have; `kind` as JSON Schema has it."""

    name: str
    says: str
    kind: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "string"})


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """`body` is the type of the JSON body, `answer` that of the answer, or of each field of its JSON object.

    A field of `answer` that is not always there has UnsetType among its types. `refusals` are statuses the route
    answers beside those that follow from its parameters, body and scope. What is not JSON says so in `media_types`.
    """

    says: str
    body: type[msgspec.Struct] | None = None
    answer: Any = {}
    query: tuple[Parameter, ...] = ()
    status: int = 200
    refusals: tuple[int, ...] = ()
    media_types: tuple[str, ...] = (JSON,)
    headers: tuple[Header, ...] = ()


class Route(msgspec.Struct, frozen=True):
    """`scope` is what a token needs for it; `open` needs none.

    An id in the path may hold anything but a slash; `{tail}` is all the rest of the path.
    """

    method: str
    path: str
    scope: RouteScope
    handler: Handler
    contract: Contract

    @property
    def shown_method(self) -> str:
        """As the OpenAPI document has it, which knows no method that stands for all."""
        return "GET" if self.method == ANY_METHOD else self.method


LIMIT = Parameter("limit", "number", "how many to answer: 25 unless told, 100 at most")
OFFSET = Parameter("offset", "number", "how many to leave out")
SEARCH = Parameter("search", "text", "what the name holds, in any case")
FROM_MEMORY = Parameter("from_memory", "flag", "usage is live with it and without it")
PAGE = (LIMIT, OFFSET, SEARCH)
# Of lists that refuse a negative number.
STRICT_LIMIT, STRICT_OFFSET = (msgspec.structs.replace(each, narrowed={"minimum": 0}) for each in (LIMIT, OFFSET))
STRICT_PAGE = (STRICT_LIMIT, STRICT_OFFSET, SEARCH)


def one(field: str, kind: Any) -> dict[str, Any]:
    """The answer to a read of one entity."""
    return {field: kind}


def page(field: str, kind: Any) -> dict[str, Any]:
    """The answer to a read of a list."""
    return {field: list[kind], "count": int, "total_count": int, "limit": int, "offset": int}


def change(field: str | None = None, kind: Any = None) -> dict[str, Any]:
    """The answer to a change: `warnings` is there when something of the body was not understood."""
    return {"message": str, **({field: kind} if field else {}), "warnings": list[FieldWarning] | UnsetType}


def is_optional(kind: Any) -> bool:
    """Whether a field of an answer may be left out."""
    return UnsetType in getattr(kind, "__args__", ())


def answer_type(contract: Contract, name: str) -> Any:
    """The type of the whole answer: an object of that name, when it has no type of its own."""
    if not isinstance(contract.answer, dict):
        return contract.answer
    fields = [(field, kind, UNSET) if is_optional(kind) else (field, kind) for field, kind in contract.answer.items()]
    return msgspec.defstruct(name, fields, kw_only=True, module=__name__)
