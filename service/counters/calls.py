"""Scripts, and calls of them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec


class CountersUnavailableError(Exception):
    """Redis does not answer in time, or refuses. What to do then is the caller's policy."""


class Script(msgspec.Struct, frozen=True):
    """A .lua file of `scripts/`: its header says its keys, argument and answer."""

    name: str
    text: str
    sha1: str


class ScriptCall(msgspec.Struct, frozen=True):
    """One run of a script: keys of one tenant or several, one msgpack argument."""

    script: Script
    keys: Sequence[str]
    argument: bytes


def load_script(name: str) -> Script:
    text = (Path(__file__).parent / "scripts" / f"{name}.lua").read_text(encoding="utf-8")
    # Redis names a script by its SHA-1; nothing here depends on its strength.
    return Script(name=name, text=text, sha1=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
