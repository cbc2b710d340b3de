"""A service that answers as a test says, and remembers what it was asked."""

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

API = "/api/governance"
ALLOWED = {"allowed": True, "decision": "allow", "status_code": 200, "request_id": "r", "provider": "openai"}
LIMIT = {"level": "virtual_key", "limit": {"id": "b", "kind": "budget", "retry_after": 60}}
REFUSED = {
    "allowed": False,
    "decision": "budget_exceeded",
    "status_code": 402,
    "request_id": "r",
    "message": "no room",
    "violations": [LIMIT, {"level": "team", "limit": {"id": "p", "kind": "parallel"}}],
}
ANSWERS: dict[str, dict[str, Any]] = {
    "authorize": ALLOWED,
    "usage": {"request_id": "r", "status": "recorded", "cost": 0.25, "priced": True},
    "release": {"request_id": "r", "released": True},
}
BUSY = 503


class Scripted:
    """`answers` are given in turn to requests of a path, then the usual one. An int is a status without an answer, 0 no
    answer at all.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.tokens: set[str] = set()
        self.answers: dict[str, list[dict[str, Any] | int]] = {}
        self.on_ask: Callable[[str], None] = lambda _: None

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post(f"{API}/{{path}}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.asked.append((path, msgspec.json.decode(await request.read())))
        self.tokens.add(request.headers.get("Authorization", ""))
        self.on_ask(path)
        waiting = self.answers.get(path)
        answer = waiting.pop(0) if waiting else ANSWERS[path]
        if answer == 0:
            assert request.transport is not None
            request.transport.abort()
        if isinstance(answer, int):
            return web.json_response({"error": {"message": "try again"}}, status=answer or 500)
        return web.json_response(answer)
