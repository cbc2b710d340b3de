"""The mock upstream that the examples are tried on, in the tests' own process."""

from typing import Any

from aiohttp import web

from tests.gateways.scripts import load_script

_mock_llm = load_script("mock_llm")
WORDS: tuple[str, ...] = _mock_llm.WORDS


def build_mock() -> web.Application:
    app: web.Application = _mock_llm.build_mock()
    return app


def asked_of(app: web.Application) -> list[dict[str, Any]]:
    """The headers and body of each request that arrived."""
    asked: list[dict[str, Any]] = app[_mock_llm.ASKED]
    return asked
