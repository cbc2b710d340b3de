"""The usage reporter, in the tests' own process."""

from collections.abc import Mapping

from aiohttp import web

from tests.gateways.scripts import load_script

_usage_reporter = load_script("usage_reporter")


def build_reporter(environment: Mapping[str, str]) -> web.Application:
    app: web.Application = _usage_reporter.build_reporter(environment)
    return app
