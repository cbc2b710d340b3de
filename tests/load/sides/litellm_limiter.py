"""LiteLLM's own limiter, called in its process: `parallel_request_limiter_v3`'s pre-call hook, with a Redis of its own.

It is installed into an environment of its own, once, pinned; the program that calls it is litellm_limiter_calls.py.
"""

import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.load import cores
from tests.load.bench import Bench
from tests.load.figures import Sample
from tests.load.programs import Conversation, ProgramError, free_port, talking

REQUIREMENT = "litellm[proxy]==1.108.7"

_PROGRAM = Path(__file__).with_name("litellm_limiter_calls.py")
_INSTALL_SECONDS = 900


class Litellm(msgspec.Struct, frozen=True):
    """A process that calls the hook as often as it can, when told to."""

    conversation: Conversation

    def measure(self, *, concurrency: int, seconds: float) -> Sample:
        """Decisions a second. Raises ProgramError when it has ended."""
        return msgspec.json.decode(self.conversation.ask(f"{concurrency} {seconds}"), type=Sample)


@contextmanager
def litellm(bench: Bench, *, redis_on: Collection[int]) -> Iterator[Litellm]:
    """On the service's core, its Redis on `redis_on`. Raises ProgramError when it cannot be installed."""
    python = installed_python()
    port = free_port()
    with cores.on(redis_on):
        bench.valkey(f"litellm-{port}", {"port": str(port), "bind": "127.0.0.1"})
    with talking(
        [python, "-I", _PROGRAM, str(port)],
        cores=cores.SERVICE,
        log=bench.log("litellm"),
        environment={"LITELLM_LOG": "ERROR"},
    ) as conversation:
        yield Litellm(conversation)


def installed_python() -> Path:
    """The interpreter of the peer's environment, made when it is not there. Raises ProgramError."""
    folder = _cache_folder() / REQUIREMENT.replace("[", "-").replace("]==", "-")
    python = folder / "bin" / "python"
    done = folder / "installed"
    if done.exists():
        return python
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
        pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        subprocess.run([*pip, REQUIREMENT], check=True, capture_output=True, timeout=_INSTALL_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", b"") or b""
        raise ProgramError(f"{REQUIREMENT} cannot be installed: {error} {said.decode()[-500:]}") from error
    done.touch()
    return python


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "governance-load"
