"""The mock upstream that the examples are tried on, in the tests' own process."""

import importlib.util
from types import ModuleType
from typing import Any

from aiohttp import web

from tests.gateways.programs import DEPLOY


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mock_llm", DEPLOY / "mock_llm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_mock_llm = _load()
WORDS: tuple[str, ...] = _mock_llm.WORDS


def build_mock() -> web.Application:
    app: web.Application = _mock_llm.build_mock()
    return app


def asked_of(app: web.Application) -> list[dict[str, Any]]:
    """The headers and body of each request that arrived."""
    asked: list[dict[str, Any]] = app[_mock_llm.ASKED]
    return asked
