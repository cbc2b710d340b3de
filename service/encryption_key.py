"""The encryption key that `governance dev` makes for itself: a file in its state folder.

Commands that write to the database of such a run find it there; `governance serve` is given its key.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from service.domain.sealing import new_encryption_key, parse_encryption_key


class EncryptionKeyError(Exception):
    """The file cannot be made or used; the message names it and not what is in it."""


def load_or_make_encryption_key(folder: Path) -> str:
    """The key in `<folder>/encryption.key`; made, readable by its owner only, when there is none.

    Raises EncryptionKeyError.
    """
    path = encryption_key_file(folder)
    try:
        if not path.exists():
            _make(path)
    except OSError as error:
        raise EncryptionKeyError(f"{path}: {error.strerror}") from error
    return load_encryption_key(folder)


def load_encryption_key(folder: Path) -> str:
    """The key in `<folder>/encryption.key`. Raises EncryptionKeyError, also when there is no such file."""
    path = encryption_key_file(folder)
    try:
        key = path.read_text(encoding="ascii").strip()
        parse_encryption_key(key)
    except OSError as error:
        raise EncryptionKeyError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise EncryptionKeyError(f"{path} holds no key") from error
    return key


def encryption_key_file(folder: Path) -> Path:
    return folder / "encryption.key"


def _make(path: Path) -> None:
    """Whole or not at all; of two processes that start at once, one makes the key and both use it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=path.parent) as file:  # mode 0600
        file.write(new_encryption_key() + "\n")
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(file.name, path)
