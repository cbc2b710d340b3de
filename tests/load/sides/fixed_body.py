"""The least an aiohttp application can do: read the body of a POST and answer a fixed one.

`python -m tests.load.sides.fixed_body PORT FILE`; no middlewares, no access log, uvloop as the service has it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from aiohttp import web

from tests.load import cores
from tests.load.bench import Bench, Service
from tests.load.programs import free_port, responds, running

_LARGEST_BODY_BYTES = 1 << 20


@contextmanager
def fixed_body(bench: Bench, body: bytes, *, like: Service) -> Iterator[Service]:
    """Runs on the service's core; asked with the token and the virtual keys of the service it is `like`."""
    port = free_port()
    file = bench.folder / "fixed_body"
    file.write_bytes(body)
    with running(
        [sys.executable, "-m", "tests.load.sides.fixed_body", str(port), file],
        cores=cores.SERVICE,
        log=bench.log("fixed_body"),
        answers=responds(port, "/"),
    ) as process:
        yield Service(f"http://127.0.0.1:{port}", like.token, like.values, process.pid)


def build_app(body: bytes) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, content_type="application/json")

    app = web.Application(client_max_size=_LARGEST_BODY_BYTES)
    app.router.add_route("*", "/{tail:.*}", answer)
    return app


def main(port: str, file: str) -> None:
    uvloop.install()
    web.run_app(build_app(Path(file).read_bytes()), host="127.0.0.1", port=int(port), access_log=None, print=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
