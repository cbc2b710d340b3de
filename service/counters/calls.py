"""Scripts, and calls of them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec


class CountersUnavailableError(Exception):
    """Redis does not answer in time, or refuses. What to do then is the caller's policy."""


class Script(msgspec.Struct, frozen=True):
    """A .lua file of `scripts/`, behind the parts it needs: its header says its keys, argument and answer."""

    name: str
    text: str
    sha1: str


class ScriptCall(msgspec.Struct, frozen=True):
    """One run of a script: keys of one tenant or several, one msgpack argument."""

    script: Script
    keys: Sequence[str]
    argument: bytes


_SCRIPTS = Path(__file__).parent / "scripts"
# By script, what it shares with others: files of `scripts/parts/`.
_PARTS = {
    "authorize": ("held_field",),
    "merge_meters": ("many", "states"),
    "settle_holds": ("many", "states", "held_field"),
    "read_held": ("many",),
    "read_meters": ("many",),
    "read_holds": ("stored_hold",),
    "list_expired_holds": ("stored_hold",),
}


def load_script(name: str) -> Script:
    paths = [*(_SCRIPTS / "parts" / f"{part}.lua" for part in _PARTS.get(name, ())), _SCRIPTS / f"{name}.lua"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    # Redis names a script by its SHA-1; nothing here depends on its strength.
    return Script(name=name, text=text, sha1=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
