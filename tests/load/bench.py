"""What scenarios ask for: stores, deployments and programs, started when first needed and ended together."""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec
import psutil

from service.demo.shape import DemoShape
from service.demo.write import write_demo_tree
from service.domain.sealing import Sealer, new_encryption_key, parse_encryption_key
from service.embedded.servers import EmbeddedPostgres, EmbeddedServer, EmbeddedValkey
from service.settings import Settings, load_settings, to_environment
from service.store.migrations import migrate, read_migrations
from service.store.postgres import Connection, connect
from tests.load import cores
from tests.load.fleet import Fleet, plant
from tests.load.programs import free_port, responds, running
from tests.load.wrk import Kind, Target

# Stated in the report: durable, and without a checkpoint in the middle of a round.
POSTGRES_SETTINGS = {"max_wal_size": "8GB", "checkpoint_timeout": "30min"}
# Stated too: durable, and without a rewrite of its log, due whenever that has doubled, in the middle of a round.
VALKEY_SETTINGS = {"auto-aof-rewrite-min-size": "8gb"}
# One for each deployment: their tenants may have the same names.
_VALKEY_DATABASES = 64
_ADMIN_TOKEN = "load-" + "0" * 40


S = TypeVar("S", bound=EmbeddedServer)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    folder: Path
    rounds: int = 5
    seconds: float = 5.0
    warm_up_seconds: float = 3.0
    connections: int = 64


class Deployment(msgspec.Struct, frozen=True):
    """A database with a tree in it and a Redis database of its own; `values` is a file of its virtual keys' values."""

    name: str
    settings: Settings
    values: Path

    @property
    def sealer(self) -> Sealer:
        return Sealer(parse_encryption_key(self.settings.encryption_key))


Write: TypeAlias = Callable[[Connection, Deployment], Awaitable[None]]


class Service(msgspec.Struct, frozen=True):
    """A service that is ready."""

    url: str
    token: str
    values: Path | None
    pid: int = 0

    def with_values(self, values: Path) -> "Service":
        """The same, asked with other virtual keys."""
        return msgspec.structs.replace(self, values=values)

    def target(self, path: str, kind: Kind = "get", *, batch: int = 1) -> Target:
        return Target(url=self.url + path, kind=kind, token=self.token, values=self.values, batch=batch)


class Bench:
    """A context: what was started ends with it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._deployments: dict[str, Deployment] = {}
        self._ends = ExitStack()

    def __enter__(self) -> "Bench":
        cores.move_here(cores.REST)
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    @property
    def folder(self) -> Path:
        return self.options.folder

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def fleet(self, fleet: Fleet) -> Deployment:
        """A deployment of virtual keys whose values are known; made once."""

        async def write(connection: Connection, deployment: Deployment) -> None:
            values = await plant(connection, fleet, deployment.sealer)
            deployment.values.write_text("\n".join(values))

        return self._deployment(fleet.name, write)

    def demo(self, shape: DemoShape) -> Deployment:
        """A deployment of the demo tree, as mixed as a real one; made once."""

        async def write(connection: Connection, deployment: Deployment) -> None:
            now = datetime.now(UTC)
            await write_demo_tree(connection, shape=shape, sealer=deployment.sealer, now=now, progress=lambda *_: None)
            await connection.execute("ANALYZE")

        return self._deployment(f"demo_{shape.customers}_{shape.teams}_{shape.keys}", write)

    @contextmanager
    def serve(
        self,
        deployment: Deployment,
        *,
        workers: int = 1,
        on: Collection[int] = cores.SERVICE,
        program: Sequence[str] = ("service", "serve"),
    ) -> Iterator[Service]:
        """The service against a deployment, ready; or another program that is told the same."""
        port = free_port()
        settings = msgspec.structs.replace(deployment.settings, port=port, workers=workers)
        with running(
            [sys.executable, "-m", *program],
            cores=on,
            log=self.log("service"),
            environment=to_environment(settings),
            answers=responds(port, "/ready"),
        ) as process:
            yield Service(f"http://127.0.0.1:{port}", settings.admin_token, deployment.values, process.pid)

    @contextmanager
    def everything_everywhere(self) -> Iterator[None]:
        """Stores and load on all cores instead of on the rest."""
        self._move_stores(cores.ALL)
        cores.move_here(cores.ALL)
        try:
            yield
        finally:
            cores.move_here(cores.REST)
            self._move_stores(cores.REST)

    def valkey(self, name: str, settings: Mapping[str, str]) -> EmbeddedValkey:
        """One more Valkey, for a peer; where this process runs."""
        folder = self.folder / name
        return self._start(EmbeddedValkey(folder, settings=settings))

    @cached_property
    def _stores(self) -> tuple[EmbeddedPostgres, EmbeddedValkey]:
        folder = self.folder / "state"
        postgres = self._start(EmbeddedPostgres(folder, settings=POSTGRES_SETTINGS))
        return postgres, self._start(
            EmbeddedValkey(folder, settings=VALKEY_SETTINGS | {"databases": str(_VALKEY_DATABASES)})
        )

    def _start(self, server: S) -> S:
        asyncio.run(server.start())
        self._ends.callback(lambda: asyncio.run(server.stop()))
        return server

    def _move_stores(self, where: Collection[int]) -> None:
        for server in self._stores:
            if server.pid is None:
                continue
            process = psutil.Process(server.pid)
            for member in (process, *process.children(recursive=True)):
                cores.move(member.pid, where)

    def _deployment(self, name: str, write: Write) -> Deployment:
        if name not in self._deployments:
            postgres, valkey = self._stores
            redis_url = f"{valkey.url}?db={len(self._deployments)}"
            settings = _settings(database_url=_database_url(postgres.url, name), redis_url=redis_url)
            deployment = Deployment(name, settings, self.folder / f"{name}.values")
            asyncio.run(_fill(postgres.url, deployment, write))
            self._deployments[name] = deployment
        return self._deployments[name]


@contextmanager
def working_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="governance-load-") as folder:
        # Postgres does not run as root: its user has to get through.
        Path(folder).chmod(0o711)
        yield Path(folder)


def _settings(**stores: str) -> Settings:
    return load_settings(
        {},
        **stores,
        encryption_key=new_encryption_key(),
        admin_token=_ADMIN_TOKEN,
        drain_seconds=0,
        log_level="warning",
    )


async def _fill(server_url: str, deployment: Deployment, write: Write) -> None:
    server = await connect(server_url)
    await server.execute(f'CREATE DATABASE "{deployment.name}"')
    await server.close()
    connection = await connect(deployment.settings.database_url)
    await migrate(connection, read_migrations())
    await write(connection, deployment)
    await connection.close()


def _database_url(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
