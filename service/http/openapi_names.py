"""What an operation is called: from its method and path, so that a route cannot forget it."""

import re

from service.http.contract import ANY_METHOD, API, Route

# Bifrost has some lists beside its governance API, and its routing rules a second time.
_PREFIXES = (f"{API}/", "/api/routing/", "/api/")
_VERBS = {"POST": "create", "PUT": "update", "DELETE": "delete", "PATCH": "edit"}
_NOT_WORD = re.compile(r"[^a-z0-9]+")


def tag_of(route: Route) -> str:
    """The resource; `service` for what is about the service itself."""
    if not route.path.startswith(_PREFIXES):
        return "service"
    return _parts(route)[0]


def operation_id(route: Route) -> str:
    """`list_teams`, `get_team`, `create_team`; a last word that is no plural is an action: `rotate_virtual_key`."""
    parts = _parts(route)
    named = [_NOT_WORD.sub("_", part.lower()).strip("_") for part in parts if "{" not in part]
    owners, last = [singular(word) for word in named[:-1]], named[-1]
    if route.method == ANY_METHOD:
        return "_".join(["ask", *named, *(["below"] if "{" in parts[-1] else [])])
    if route.method == "GET":
        lists = isinstance(route.contract.answer, dict) and "count" in route.contract.answer
        of_one = "{" in parts[-1]
        return "_".join(["list" if lists else "get", *owners, singular(last) if of_one else last])
    if route.method == "POST" and owners and singular(last) == last:
        on_one = "{" in parts[-2]
        return "_".join([last, *owners[:-1], owners[-1] if on_one else named[-2]])
    return "_".join([_VERBS[route.method], *owners, singular(last)])


def _parts(route: Route) -> list[str]:
    prefix = next((prefix for prefix in _PREFIXES if route.path.startswith(prefix)), "/")
    return route.path.removeprefix(prefix).split("/")


def singular(word: str) -> str:
    return f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")
