"""Where the encryption key comes from when the environment does not name one: a file in the state folder.

For one machine only: `governance dev`, and commands on a loopback address. Anything that others can reach is given its
key.
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
    path = folder / "encryption.key"
    try:
        if not path.exists():
            _make(path)
        key = path.read_text(encoding="ascii").strip()
        parse_encryption_key(key)
    except OSError as error:
        raise EncryptionKeyError(f"{path}: {error.strerror}; set GOVERNANCE_ENCRYPTION_KEY instead") from error
    except ValueError as error:
        raise EncryptionKeyError(f"{path} holds no key") from error
    return key


def _make(path: Path) -> None:
    """Whole or not at all; of two processes that start at once, one makes the key and both use it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=path.parent) as file:  # mode 0600
        file.write(new_encryption_key() + "\n")
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(file.name, path)
