"""Whatever the OpenAPI document allows is accepted, whatever it does not is refused, and nothing breaks the service."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from aiohttp.test_utils import TestServer

from service.app import build_app
from service.settings import Settings

ADMIN_TOKEN = "bootstrap-token-of-at-least-32-characters"
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
# About 60 on two idle cores.
LONGEST_SECONDS = 300


async def test_the_service_does_what_its_document_says(
    settings: Settings, aiohttp_server: Callable[..., Awaitable[TestServer]]
) -> None:
    asking = msgspec.structs.replace(settings, auth="on", admin_token=ADMIN_TOKEN)
    server = await aiohttp_server(build_app(asking))
    fuzzer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION)),
        *("run", str(server.make_url("/openapi.json"))),
        *("--checks", "all", "--no-shrink"),
        cwd=CONFIGURATION.parents[2],
        env=os.environ | {"GOVERNANCE_ADMIN_TOKEN": ADMIN_TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(fuzzer.communicate(), LONGEST_SECONDS)
    finally:
        if fuzzer.returncode is None:
            fuzzer.kill()
            await fuzzer.wait()
    assert fuzzer.returncode == 0, output.decode()
