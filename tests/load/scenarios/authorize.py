"""Authorize on the full path of limits: beside the same app with a fixed body, beside LiteLLM, and by size."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from tests.load import cores, wrk
from tests.load.asking import allowed_answer, values_of
from tests.load.bench import Bench, Service
from tests.load.bodies import AUTHORIZE, authorizes_of_each, random_authorizes
from tests.load.figures import Floor
from tests.load.fleet import Fleet
from tests.load.open_loop import OpenLoop
from tests.load.scenarios.scenario import Measure, Scenario
from tests.load.sides.fixed_body import fixed_body
from tests.load.sides.litellm_limiter import Litellm, litellm
from tests.load.sides.same_app import same_app

# What one scenario leaves behind, open holds above all, is not the next one's: each has a copy of its own.
_COPIES = count(1)
HUNDRED_THOUSAND_USED_KEYS = Fleet(1000, 10, 10, copy=1)
_FEW = 100
_SWEEP_CONNECTIONS = 16
_SWEEP_SECONDS = 1200.0


def thousand_keys() -> Fleet:
    """One that nobody used."""
    return Fleet(10, 10, 10, copy=next(_COPIES))


def authorizing(bench: Bench, service: Service, label: str, *, path: str = AUTHORIZE) -> Measure:
    """Decisions a second in closed loop."""
    target = service.target(path, "authorize")
    connections = bench.options.connections
    return Measure(label, lambda seconds: wrk.measure(target, connections=connections, seconds=seconds), service.pid)


@contextmanager
def beside_fixed_body(bench: Bench) -> Iterator[Sequence[Measure]]:
    deployment = bench.fleet(thousand_keys())
    with bench.serve(deployment) as service:
        answer = allowed_answer(service, values_of(service)[0])
        with same_app(bench, deployment, answer) as same, fixed_body(bench, answer, like=service) as bare:
            yield [
                authorizing(bench, service, "authorize"),
                authorizing(bench, same, "same app"),
                authorizing(bench, bare, "bare aiohttp"),
            ]


@contextmanager
def beside_litellm(bench: Bench) -> Iterator[Sequence[Measure]]:
    """Its Redis on its core."""
    with litellm(bench, redis_on=cores.SERVICE) as peer, _beside(bench, peer, "litellm") as measures:
        yield measures


@contextmanager
def beside_litellm_apart(bench: Bench) -> Iterator[Sequence[Measure]]:
    """Its Redis where ours is: on the other core."""
    with litellm(bench, redis_on=cores.REST) as peer, _beside(bench, peer, "litellm, Redis apart") as measures:
        yield measures


@contextmanager
def many_keys(bench: Bench) -> Iterator[Sequence[Measure]]:
    """One deployment: all of its virtual keys, and a hundred of them. Each was authorized once before."""
    deployment = bench.fleet(HUNDRED_THOUSAND_USED_KEYS)
    few = bench.folder / "few.values"
    with bench.serve(deployment) as service:
        # From all over the deployment, so that both sides meet as many tenants as they can.
        values = values_of(service)
        authorize_each(service)
        few.write_text("\n".join(values[:: len(values) // _FEW]))
        yield [
            authorizing(bench, service, "100 000 keys"),
            authorizing(bench, service.with_values(few), "100 keys"),
        ]


def authorize_each(service: Service) -> None:
    """Every virtual key of the deployment once, as fast as they are answered."""
    values = values_of(service)
    loop = OpenLoop(
        service.url + AUTHORIZE,
        token=service.token,
        next_body=authorizes_of_each(values),
        connections=_SWEEP_CONNECTIONS,
        finish_seconds=_SWEEP_SECONDS,
    )
    # All due at once.
    loop.measure(per_second=len(values), seconds=1)
    loop.close()


@contextmanager
def latency(bench: Bench) -> Iterator[Sequence[Measure]]:
    """p99 of each at half of our maximum, at a fixed arrival rate."""
    options = bench.options
    deployment = bench.fleet(thousand_keys())
    with bench.serve(deployment) as service:
        values = values_of(service)
        answer = allowed_answer(service, values[0])
        with same_app(bench, deployment, answer) as same, fixed_body(bench, answer, like=service) as bare:
            most = authorizing(bench, service, "authorize").run(options.warm_up_seconds)
            loops = {
                label: OpenLoop(
                    side.url + AUTHORIZE,
                    token=side.token,
                    next_body=random_authorizes(values),
                    connections=options.connections,
                )
                for label, side in (("authorize", service), ("same app", same), ("bare aiohttp", bare))
            }
            yield [_at_rate(label, loop, most.value / 2) for label, loop in loops.items()]
            for loop in loops.values():
                loop.close()


@contextmanager
def _beside(bench: Bench, peer: Litellm, label: str) -> Iterator[Sequence[Measure]]:
    concurrency = bench.options.connections
    with bench.serve(bench.fleet(thousand_keys())) as service:
        allowed_answer(service, values_of(service)[0])
        yield [
            authorizing(bench, service, "authorize"),
            Measure(label, lambda seconds: peer.measure(concurrency=concurrency, seconds=seconds)),
        ]


def _at_rate(label: str, loop: OpenLoop, per_second: float) -> Measure:
    return Measure(
        f"{label} at {per_second:,.0f}/s", lambda seconds: loop.measure(per_second=per_second, seconds=seconds)
    )


SCENARIOS = (
    Scenario(
        name="authorize",
        says="authorize, budget, tokens and requests of key, team, customer; beside the same app with a fixed body",
        unit="decisions/s",
        floor=Floor(0.45),
        needs=("wrk", AUTHORIZE),
        sides=beside_fixed_body,
    ),
    Scenario(
        name="authorize-litellm",
        says="the same; beside LiteLLM's limiter called in its process, its Redis on its core",
        unit="decisions/s",
        floor=Floor(12),
        needs=("wrk", AUTHORIZE),
        sides=beside_litellm,
    ),
    Scenario(
        name="authorize-litellm-apart",
        says="the same; its Redis on the other core, as ours is",
        unit="decisions/s",
        needs=("wrk", AUTHORIZE),
        sides=beside_litellm_apart,
    ),
    Scenario(
        name="authorize-keys",
        says="authorize over 100 000 keys, uniformly at random; beside 100 of them",
        unit="decisions/s",
        floor=Floor(0.85),
        needs=("wrk", AUTHORIZE),
        sides=many_keys,
    ),
    Scenario(
        name="authorize-latency",
        says="p99 of authorize at half its maximum rate, arrivals at a fixed rate; beside the same app at that rate",
        unit="ms p99",
        floor=Floor(4, "at most"),
        needs=("wrk", AUTHORIZE),
        sides=latency,
    ),
)
