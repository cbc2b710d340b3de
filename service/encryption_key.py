"""Where the encryption key comes from when the environment does not name one: a file in the state folder.

For one machine only: `governance dev`, and commands on a loopback address. Anything that others can reach is given
its key.
"""

import os
from pathlib import Path

from service.domain.sealing import new_encryption_key


def load_or_make_encryption_key(folder: Path) -> str:
    """The key in `<folder>/encryption.key`; made, readable by its owner only, when there is none."""
    path = folder / "encryption.key"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # O_EXCL: of two processes that start at once, one makes the key and both use it.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(new_encryption_key() + "\n")
    return path.read_text(encoding="ascii").strip()
