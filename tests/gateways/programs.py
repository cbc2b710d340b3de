"""Gateways as real processes, with the configuration of `deploy/` on ports of the tests' own."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.faults.processes import free_port
from tests.waiting import until

DEPLOY = Path(__file__).parents[2] / "deploy"
# Where Debian puts servers, which is not on everyone's path.
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
_END_SECONDS = 5


def program(name: str) -> str | None:
    """Where it is; None when it is not installed."""
    return shutil.which(name, path=_PATH)


def copied(source: Path, folder: Path, replaced: Mapping[str, str]) -> Path:
    """A configuration with other addresses and paths. Raises AssertionError for one that is not in it."""
    text = source.read_text(encoding="utf-8")
    for old, new in replaced.items():
        assert old in text, f"{source.name} has no {old!r}"
        text = text.replace(old, new)
    target = folder / source.name
    target.write_text(text, encoding="utf-8")
    return target


@asynccontextmanager
async def running(
    command: list[str], *, port: int, folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[Path]:
    """While it listens on the port; answers where its output is. It is ended however the block ends."""
    log = folder / "gateway.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env={"PATH": _PATH, "HOME": str(folder), **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:

        async def listening() -> bool:
            assert process.returncode is None, log.read_text()
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return True
            return False

        await until(listening)
        yield log
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


__all__ = ["DEPLOY", "copied", "free_port", "program", "running"]
