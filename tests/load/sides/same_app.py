"""The service itself, but for what it does: a call and a report of usage are answered with a fixed body.

`python -m tests.load.sides.same_app FILE`, with the service's environment. Tokens, middlewares, heads of answers,
metrics: all of the application is there, but the handler reads the body and answers the bytes of the file.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web
from msgspec.structs import replace

from service.cli import main as governance
from service.http import calls, routes
from service.http.body import read_raw
from service.http.errors import json_response
from tests.load.bench import Bench, Deployment, Service


@contextmanager
def same_app(bench: Bench, deployment: Deployment, body: bytes) -> Iterator[Service]:
    """Runs on the service's core."""
    file = bench.folder / "same_app"
    file.write_bytes(body)
    with bench.serve(deployment, program=("tests.load.sides.same_app", str(file))) as service:
        yield service


def main(file: str) -> None:
    body = Path(file).read_bytes()

    async def answer(request: web.Request) -> web.Response:
        await read_raw(request)
        return json_response(body)

    exchanged = (calls.authorize, calls.report_usage)
    routes.ROUTES = tuple(
        replace(route, handler=answer) if route.handler in exchanged else route for route in routes.ROUTES
    )
    governance(["serve"], prog_name="governance")


if __name__ == "__main__":
    main(*sys.argv[1:])
