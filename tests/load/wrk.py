"""Closed-loop load by wrk: as many requests as so many connections get answered."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from uuid import uuid4

import msgspec

from tests.load.figures import Sample

Kind = Literal["get", "authorize", "usage", "usage_batch"]

_SCRIPT = Path(__file__).parent / "wrk" / "load.lua"
_MARK = "JSON "
_GRACE_SECONDS = 60


class LoadError(Exception):
    """Some requests were not answered 2xx: what was measured is not what was meant."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. `values` is a file of virtual keys' values, one of which each request is made with."""

    url: str
    kind: Kind = "get"
    token: str = ""
    values: Path | None = None
    batch: int = 1


class Told(msgspec.Struct, frozen=True):
    """What load.lua prints at the end."""

    requests: int
    seconds: float
    bytes: int
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int


def measure(target: Target, *, connections: int, seconds: float, per_request: int = 1) -> Sample:
    """Requests a second, or what is `per_request` in each of them. Raises LoadError."""
    told = run_wrk(target, connections=connections, seconds=seconds)
    return Sample(told.requests * per_request / told.seconds, told.p50_ms, told.p99_ms)


def run_wrk(target: Target, *, connections: int, seconds: float) -> Told:
    """Raises LoadError when an answer was no success."""
    finished = subprocess.run(
        _command(target, connections=connections, seconds=seconds),
        capture_output=True,
        text=True,
        timeout=seconds + _GRACE_SECONDS,
        check=False,
    )
    told = parse_told(finished.stdout) if finished.returncode == 0 else None
    if told is None:
        raise LoadError(f"wrk failed: {finished.stdout}{finished.stderr}")
    if told.refused or told.broken or not told.requests:
        raise LoadError(f"{target.url}: of {told.requests} requests {told.refused} refused, {told.broken} broken")
    return told


def parse_told(output: str) -> Told | None:
    """None when wrk did not get to its end."""
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    return msgspec.json.decode(lines[-1].removeprefix(_MARK), type=Told) if lines else None


def _command(target: Target, *, connections: int, seconds: float) -> Sequence[str]:
    headers = ["-H", f"Authorization: Bearer {target.token}"] if target.token else []
    values = str(target.values or "-")
    return (
        *("wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"),
        *headers,
        *("-s", str(_SCRIPT), target.url, "--", target.kind, uuid4().hex[:12], values, str(target.batch)),
    )
