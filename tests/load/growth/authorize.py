"""Authorize, and usage, against the size of everything around one call."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import TypeAlias
from uuid import uuid4

from service.store.postgres import connect
from tests.load import wrk
from tests.load.asking import allowed_answer, values_of
from tests.load.bench import Bench, Deployment, Service
from tests.load.bodies import AUTHORIZE, USAGE
from tests.load.fleet import FULL_PATH, Fleet
from tests.load.growth.curve import Curve, Point
from tests.load.scenarios.authorize import authorize_each, authorizing
from tests.load.scenarios.scenario import Measure
from tests.load.wrk import Target

_BATCH = 500
_BATCH_CONNECTIONS = 2
_FILL_SECONDS = 5.0
_MOST_FILLS = 100

Start: TypeAlias = Callable[[Bench], AbstractContextManager[Sequence[Point]]]
Prepare: TypeAlias = Callable[[Bench, Deployment, Service], None]


def _as_it_is(_bench: Bench, _deployment: Deployment, _service: Service) -> None:
    pass


@contextmanager
def over(
    bench: Bench, fleets: Mapping[float, Fleet], *, prepare: Mapping[float, Prepare] | None = None
) -> Iterator[Sequence[Point]]:
    """A service for each fleet."""
    with ExitStack() as services:
        points: list[Point] = []
        for x, fleet in fleets.items():
            deployment = bench.fleet(fleet)
            service = services.enter_context(bench.serve(deployment))
            allowed_answer(service, values_of(service)[0])
            (prepare or {}).get(x, _as_it_is)(bench, deployment, service)
            points.append(Point(x, authorizing(bench, service, f"{x:,.0f}")))
        yield points


_LEVELS = (*FULL_PATH, "provider_config_id")
_BY_LEVELS = {float(n): Fleet(10, 10, 10, limited=_LEVELS[:n]) for n in range(1, len(_LEVELS) + 1)}
_BY_KEYS = {float(10 * 10 * n): Fleet(n, 10, 10) for n in (1, 10, 100, 1000)}
_BY_TENANTS = {float(n): Fleet(n, 1, 1000 // n) for n in (1, 10, 100, 1000)}
_BY_HOLDS = {float(n): Fleet(1, 10, 10, copy=n + 1) for n in (0, 1_000, 10_000, 100_000)}


def ledger_fleets(most_rows: int) -> dict[float, Fleet]:
    return {float(n): Fleet(10, 10, 10, copy=-n - 1) for n in (0, most_rows // 100, most_rows // 10, most_rows)}


def use_each_key(_bench: Bench, _deployment: Deployment, service: Service) -> None:
    """What is asked for the first time comes from Postgres: that is not what is measured."""
    authorize_each(service)


def open_holds(number: int, bench: Bench, _deployment: Deployment, service: Service) -> None:
    """Authorize calls that never end."""
    opened = 0
    for _ in range(_MOST_FILLS):
        if opened >= number:
            return
        target = service.target(AUTHORIZE, "authorize")
        opened += wrk.run_wrk(target, connections=bench.options.connections, seconds=_FILL_SECONDS).requests


def fill_ledger(rows: int, _bench: Bench, deployment: Deployment, _service: Service) -> None:
    """Events of the year before, of the fleet's own virtual keys."""
    asyncio.run(_fill_ledger(rows, deployment))


async def _fill_ledger(rows: int, deployment: Deployment) -> None:
    connection = await connect(deployment.settings.database_url)
    await connection.execute(
        "INSERT INTO usage_requests (request_id, fingerprint, recorded_at) "
        "SELECT 'old-' || n, '\\x00', now() - interval '1 year' * n / $1 FROM generate_series(1, $1) AS n",
        rows,
    )
    await connection.execute(
        "INSERT INTO usage_events (request_id, tenant_id, virtual_key_id, team_id, customer_id, provider, model, "
        "input_tokens, output_tokens, cost_nanousd, occurred_at, recorded_at) "
        "SELECT 'old-' || n, keys.tenant_id, keys.id, keys.team_id, teams.customer_id, 'openai', 'gpt-4o', 100, 50, "
        "1000000, now() - interval '1 year' * n / $1, now() - interval '1 year' * n / $1 "
        "FROM generate_series(1, $1) AS n "
        "JOIN (SELECT *, row_number() OVER (ORDER BY id) AS place FROM virtual_keys) AS keys ON place = n % 1000 + 1 "
        "JOIN teams ON teams.id = keys.team_id",
        rows,
    )
    await connection.execute("ANALYZE usage_events, usage_requests")
    await connection.close()


@contextmanager
def usage_by_tenants(bench: Bench) -> Iterator[Sequence[Point]]:
    """Arrays of 500 events, of the virtual keys of so many tenants."""
    deployment = bench.fleet(Fleet(500, 1, 2))
    with bench.serve(deployment) as service:
        values = values_of(service)
        points: list[Point] = []
        for tenants in (1, 5, 25, 100, 500):
            file = bench.folder / f"{tenants}-tenants.values"
            file.write_text("\n".join(values[: 2 * tenants]))
            target = service.with_values(file).target(USAGE, "usage_batch", batch=_BATCH)
            points.append(Point(tenants, _reporting(target, service.pid)))
        yield points


def _reporting(target: Target, pid: int) -> Measure:
    return Measure(
        uuid4().hex[:4],
        lambda seconds: wrk.measure(target, connections=_BATCH_CONNECTIONS, seconds=seconds),
        pid,
    )


def curves(*, most_ledger_rows: int) -> Sequence[Curve]:
    by_rows = ledger_fleets(most_ledger_rows)
    fill = {x: partial(fill_ledger, int(x)) for x in by_rows if x}
    hold = {x: partial(open_holds, int(x)) for x in _BY_HOLDS if x}
    use = dict.fromkeys(_BY_KEYS, use_each_key)
    return (
        _curve("levels", "levels of the path that have limits", partial(over, fleets=_BY_LEVELS)),
        _curve("keys", "virtual keys, each used before", partial(over, fleets=_BY_KEYS, prepare=use)),
        _curve("tenants", "tenants among which 1000 keys are", partial(over, fleets=_BY_TENANTS)),
        _curve("holds", "open holds of the tenant", partial(over, fleets=_BY_HOLDS, prepare=hold)),
        _curve("ledger", "rows of the ledger", partial(over, fleets=by_rows, prepare=fill)),
        Curve(
            name="usage-tenants",
            says="an array of 500 events",
            x="tenants they are of",
            needs=("wrk", USAGE),
            points=usage_by_tenants,
        ),
    )


def _curve(name: str, x: str, points: Start) -> Curve:
    return Curve(name=f"authorize-{name}", says="authorize", x=x, needs=("wrk", AUTHORIZE), points=points)
