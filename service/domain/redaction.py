"""What of a secret may be shown, and which part of a JSON document is secret.

A text such as `env.OPENAI_API_KEY` names a variable of the gateway's environment: it is no secret. A redacted form that
is sent back stands for the secret it was made of.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from service.domain.refusals import invalid

MASK = "*" * 24
# At most a third of a secret is ever seen.
_SHORTEST_PARTLY_SHOWN = 24
_SHOWN_CHARACTERS = 4
_NOT_VISIBLE = re.compile(r"[^\x21-\x7e]")

_VARIABLE = re.compile(r"env\.[A-Za-z_][A-Za-z0-9_]{0,250}")
# Fields that say where and what, not who: shown with all that is in them.
_CLEAR_FIELDS = frozenset({"endpoint", "deployments", "api_version", "region", "project_id", "project_number", "arn"})
_CLEAR_SUFFIXES = ("_arn", "_region", "_endpoint")
# User information before the host, or a query.
_CREDENTIALS_IN_URL = re.compile(r"[A-Za-z0-9+.-]://(?:[^/]*@|.*\?)", re.DOTALL)

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,31})://(?P<user>[^/?#@]*@)?(?P<host>[A-Za-z0-9._:\[\]-]{1,255})(?P<rest>[/?#].*)?",
    re.DOTALL,
)
_COMMAND = re.compile(r"(?P<program>[A-Za-z0-9_./+-]{1,255})(?P<arguments>\s.*)?", re.DOTALL)

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")
_MOST_DEPTH = 8
_LARGEST_DOCUMENT_BYTES = 32 * 1024


class Separated(msgspec.Struct, frozen=True):
    """A document as it may be shown, and its secrets by their path in it."""

    shown: Any
    secrets: dict[str, str]


class _Place(msgspec.Struct, frozen=True):
    """Where in a document: `clear` when what is there is no secret."""

    path: str
    clear: bool = False
    depth: int = 0

    def field(self, name: str) -> "_Place":
        step = f".{name}" if _PLAIN_NAME.fullmatch(name) else f"[{msgspec.json.encode(name).decode()}]"
        clear = self.clear or name in _CLEAR_FIELDS or name.endswith(_CLEAR_SUFFIXES)
        return _Place(self.path + step, clear, self.depth + 1)

    def item(self, number: int) -> "_Place":
        return _Place(f"{self.path}[{number}]", self.clear, self.depth + 1)


def is_open(text: str) -> bool:
    """Whether it may be shown as it is: the name of a variable, or nothing."""
    return not text or _VARIABLE.fullmatch(text) is not None


def redacted(secret: str) -> str:
    """Its first and last characters around a mask, or a mask alone when it is short."""
    if len(secret) < _SHORTEST_PARTLY_SHOWN:
        return MASK
    first, last = secret[:_SHOWN_CHARACTERS], secret[-_SHOWN_CHARACTERS:]
    return _NOT_VISIBLE.sub("*", first) + MASK + _NOT_VISIBLE.sub("*", last)


def redacted_connection(connection: str) -> str:
    """Scheme and host of a URL, or the program of a command; the text itself when there is nothing beside them."""
    if is_open(connection):
        return connection
    if url := _URL.fullmatch(connection):
        bare = not url["user"] and url["rest"] in (None, "/")
        return connection if bare else f"{url['scheme']}://{url['host']}/{MASK}"
    if command := _COMMAND.fullmatch(connection):
        return f"{command['program']} {MASK}" if command["arguments"] else connection
    return MASK


def sent_secret(text: str, stored: str | None, path: str, *, stored_as: str | None) -> str:
    """The secret a client means: the stored one by `stored_as`, its redacted form, or a new one.

    Raises RefusedError for the redacted form of anything else.
    """
    if stored is not None and text == stored_as:
        return stored
    if MASK in text:
        raise invalid(path, "is the redacted form of another secret: send the secret itself, or leave the field out")
    return text


def separated(document: Any, stored: Mapping[str, str], path: str) -> Separated:
    """Take the secrets out of the JSON document at `path`; one sent back as it is shown is the stored one of its path.

    Every text is secret but those in `_CLEAR_FIELDS`. Raises RefusedError for the redacted form of another secret, and
    for a document that is too large or deep.
    """
    if len(msgspec.json.encode(document)) > _LARGEST_DOCUMENT_BYTES:
        raise invalid(path, f"is larger than {_LARGEST_DOCUMENT_BYTES} bytes")
    secrets: dict[str, str] = {}
    return Separated(_shown(document, _Place(path), stored=stored, secrets=secrets), secrets)


def restored(shown: Any, secrets: Mapping[str, str], path: str) -> Any:
    """The JSON document at `path` that `separated` took `secrets` out of, without those that are not among them."""
    return _restored(shown, _Place(path), secrets)


def _restored(value: Any, place: _Place, secrets: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        items = ((name, _restored(item, place.field(name), secrets)) for name, item in value.items())
        return {name: item for name, item in items if item is not msgspec.UNSET}
    if isinstance(value, list):
        restored_items = [_restored(item, place.item(number), secrets) for number, item in enumerate(value)]
        return [item for item in restored_items if item is not msgspec.UNSET]
    if isinstance(value, str) and MASK in value:
        return secrets.get(place.path, msgspec.UNSET)
    return value


def _shown(value: Any, place: _Place, *, stored: Mapping[str, str], secrets: dict[str, str]) -> Any:
    """`value` with its secrets redacted, and put into `secrets`."""
    if place.depth > _MOST_DEPTH:
        raise invalid(place.path, f"is nested more than {_MOST_DEPTH} levels deep")
    if isinstance(value, dict):
        return {n: _shown(item, place.field(n), stored=stored, secrets=secrets) for n, item in value.items()}
    if isinstance(value, list):
        return [_shown(item, place.item(n), stored=stored, secrets=secrets) for n, item in enumerate(value)]
    if not isinstance(value, str) or is_open(value) or (place.clear and not _CREDENTIALS_IN_URL.search(value)):
        return value
    before = stored.get(place.path)
    stored_as = None if before is None else redacted(before)
    secrets[place.path] = sent_secret(value, before, place.path, stored_as=stored_as)
    return redacted(secrets[place.path])
