"""How many full trees a second one worker on one core answers: `python -m tests.load.tree`.

The service is pinned to one core; Postgres, Valkey and the load run on the others. Two measurements: nothing changes,
and one tenant in ten has usage booked every second.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import click

from service.counters.client import open_counters
from service.counters.meters import merge_windows
from service.demo.shape import DemoShape
from service.demo.write import write_demo_tree
from service.domain.sealing import Sealer, new_encryption_key, parse_encryption_key
from service.domain.usage import UsageEvent
from service.embedded.servers import EmbeddedPostgres, EmbeddedValkey
from service.settings import Settings, load_settings, to_environment
from service.store.ledger import record_usage
from service.store.migrations import migrate, read_migrations
from service.store.postgres import connect
from tests.factories import meter_of_budget, usage_event
from tests.load.client import Measured, measure

_PATH = "/api/governance/customers"


@click.command()
@click.option("--customers", default=100, show_default=True)
@click.option("--teams", default=5, show_default=True, help="Per customer.")
@click.option("--keys", default=8, show_default=True, help="Per team.")
@click.option("--seconds", default=8.0, show_default=True, help="Per measurement.")
@click.option("--connections", default=4, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--port", default=18080, show_default=True)
def main(customers: int, teams: int, keys: int, seconds: float, connections: int, rounds: int, port: int) -> None:
    """Measure GET /api/governance/customers against servers started for it."""
    shape = DemoShape(customers=customers, teams=teams, keys=keys)
    with tempfile.TemporaryDirectory(prefix="governance-load-") as folder:
        Path(folder).chmod(0o711)
        with _stores(Path(folder) / "state", port) as settings:
            click.echo(f"writing {customers} customers × {teams} teams × {keys} virtual keys")
            tenants = asyncio.run(_write_tree(settings, shape))
            with _service(settings):
                warm = measure(port, _PATH, connections=1, seconds=2)
                click.echo(f"one tree: {warm.body_bytes / 1e6:.2f} MB")
                for _ in range(rounds):
                    _show("unchanged", measure(port, _PATH, connections=connections, seconds=seconds))
                    with _changes(settings, tenants[::10]):
                        _show(
                            "1 tenant in 10 changes every second",
                            measure(port, _PATH, connections=connections, seconds=seconds),
                        )


def _show(what: str, measured: Measured) -> None:
    click.echo(
        f"{what:<38} {measured.per_second:7.1f} trees/s   "
        f"p50 {measured.percentile_ms(0.5):6.1f} ms   p99 {measured.percentile_ms(0.99):6.1f} ms"
    )


@contextmanager
def _stores(folder: Path, port: int) -> Iterator[Settings]:
    os.sched_setaffinity(0, _cores()[1:] or _cores())
    servers = (EmbeddedPostgres(folder), EmbeddedValkey(folder))
    try:
        for server in servers:
            asyncio.run(server.start())
        yield load_settings(
            {},
            database_url=servers[0].url,
            redis_url=servers[1].url,
            port=port,
            encryption_key=new_encryption_key(),
            auth="off",
            drain_seconds=0,
        )
    finally:
        for server in servers:
            asyncio.run(server.stop())


async def _write_tree(settings: Settings, shape: DemoShape) -> list[tuple[str, str]]:
    """Write the demo tree; answers one budget for each tenant that has some, as (tenant id, budget id)."""
    connection = await connect(settings.database_url)
    await migrate(connection, read_migrations())
    await write_demo_tree(
        connection,
        shape=shape,
        sealer=Sealer(parse_encryption_key(settings.encryption_key)),
        now=datetime.now(UTC),
        progress=lambda *_: None,
    )
    rows = await connection.fetch(
        "SELECT DISTINCT ON (tenant_id) tenant_id, id FROM budgets "
        "WHERE tenant_id LIKE 'customer:%' ORDER BY tenant_id, id"
    )
    await connection.close()
    return [(row["tenant_id"], row["id"]) for row in rows]


@contextmanager
def _service(settings: Settings) -> Iterator[None]:
    worker = subprocess.Popen(
        [sys.executable, "-m", "service", "serve"],
        env=os.environ | to_environment(settings),
        stderr=subprocess.DEVNULL,
    )
    os.sched_setaffinity(worker.pid, _cores()[:1])
    try:
        _wait_until_it_answers(settings.port)
        yield
    finally:
        worker.terminate()
        worker.wait(20)


def _wait_until_it_answers(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            measure(port, "/health", connections=1, seconds=0)
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def _changes(settings: Settings, budgets: list[tuple[str, str]]) -> Iterator[None]:
    """Book usage on each of these budgets once a second, as settlement does: ledger, then merge."""
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_keep_changing(settings, budgets, stop)))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


async def _keep_changing(settings: Settings, budgets: list[tuple[str, str]], stop: threading.Event) -> None:
    connection = await connect(settings.database_url)
    counters = open_counters(settings)
    while not stop.is_set():
        now = datetime.now(UTC)
        events: list[UsageEvent] = []
        for _, budget_id in budgets:
            tenant_id, meter = await meter_of_budget(connection, budget_id)
            events.append(usage_event(uuid4().hex, (tenant_id, meter, 1_000_000), at=now))
        recorded = await record_usage(connection, events)
        await merge_windows(counters, recorded.windows)
        await asyncio.to_thread(stop.wait, 1.0)
    await counters.close()
    await connection.close()


def _cores() -> list[int]:
    return sorted(_ALL_CORES)


_ALL_CORES = frozenset(os.sched_getaffinity(0))


if __name__ == "__main__":
    main()
