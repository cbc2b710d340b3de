"""The engine beside a plain model of it: whatever is done in whatever order, both say and count the same."""

import asyncio
from collections.abc import Coroutine, Iterator
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, settings as hypothesis_settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from redis.asyncio import Redis

from service.counters.client import CounterClient, open_counters
from service.domain.refusals import RefusedError
from service.domain.sealing import Sealer, parse_encryption_key
from service.domain.windows import to_us
from service.settings import Settings, load_settings
from service.store.postgres import Connection, Store, connect, open_store
from tests.conftest import ENCRYPTION_KEY, Clock
from tests.factories import Factory
from tests.gateway import VALUE
from tests.governance.engine.model import GLOBAL, HOUR_US, US, Call, Meter, Model, Report
from tests.governance.engine.worker import NANO, Worker
from tests.servers import Servers, plain_client
from tests.shared_database import SharedDatabase

T = TypeVar("T")


class World:
    """Both stores, and a loop of its own to use them in; shared by all examples."""

    def __init__(self, runner: asyncio.Runner, database: SharedDatabase, servers: Servers) -> None:
        self.runner = runner
        self.database = database
        self.settings: Settings = load_settings(
            {}, database_url=database.url, redis_url=servers.redis_url, encryption_key=ENCRYPTION_KEY, auth="off"
        )
        self.settings = msgspec.structs.replace(self.settings, redis_timeout_ms=5000)
        self.sealer = Sealer(parse_encryption_key(ENCRYPTION_KEY))
        self.run(self._open())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def new_worker(self, clock: Clock) -> Worker:
        return Worker(self.settings, self.store, self.counters, sealer=self.sealer, clock=clock)

    async def _open(self) -> None:
        self.store: Store = await open_store(self.settings)
        self.counters: CounterClient = open_counters(self.settings)
        self.connection: Connection = await connect(self.settings.database_url)
        self.redis: Redis = plain_client(self.settings.redis_url)

    async def close(self) -> None:
        await self.redis.flushall()
        await self.redis.aclose()
        await self.connection.close()
        await self.counters.close()
        await self.store.close()


@pytest.fixture
def world(shared_database: SharedDatabase, servers: Servers) -> Iterator[World]:
    with asyncio.Runner() as runner:
        world = World(runner, shared_database, servers)
        yield world
        world.run(world.close())
        shared_database.sweep()


def meters() -> list[Meter]:
    """What the virtual key is held against: its own, its customer's, and the deployment's for the one model."""
    day_us, minute_us = 24 * HOUR_US, 60 * US
    return [
        Meter("budget:whole", "budget", 12 * NANO, day_us, GLOBAL),
        Meter("budget:key", "budget", 8 * NANO, day_us),
        Meter("tokens:key", "tokens", 20, HOUR_US),
        Meter("requests:key", "requests", 4, minute_us),
        Meter("parallel:virtual_key:key", "parallel", 3, None),
        Meter("budget:here", "budget", 9 * NANO, 12 * HOUR_US, "customer:here"),
        Meter("budget:there", "budget", 6 * NANO, 12 * HOUR_US, "customer:there"),
    ]


async def make_tree(make: Factory, clock: Clock) -> None:
    for customer, dollars in (("here", 9), ("there", 6)):
        await make.customer(id=customer)
        await make.budget(
            id=customer,
            customer_id=customer,
            max_limit_nanousd=dollars * NANO,
            reset_duration="12h",
            anchored_at=clock.now,
        )
    key = await make.virtual_key(
        id="key", value=VALUE, customer_id="here", allow_all_providers=True, max_parallel_requests=3
    )
    await make.budget(id="key", virtual_key_id=key, max_limit_nanousd=8 * NANO, anchored_at=clock.now)
    limits = {"token_max_limit": 20, "request_max_limit": 4, "request_reset_duration": "1m"}
    await make.rate_limit(id="key", virtual_key_id=key, anchored_at=clock.now, **limits)
    config = await make.model_config(model_name="m")
    await make.budget(id="whole", model_config_id=config, max_limit_nanousd=12 * NANO, anchored_at=clock.now)


costs, tokens = st.integers(0, 4), st.integers(0, 8)
reports = st.builds(
    Report,
    cost=st.none() | costs.map(NANO.__mul__),
    tokens=st.none() | tokens,
    status=st.sampled_from(["success", "success", "error", "cancelled"]),
)


class Edit(msgspec.Struct, frozen=True):
    """Of a meter: its limit in dollars or in units, its period in seconds, or a reset."""

    what: str
    meter: str
    number: int = 0


_BUDGETS = st.sampled_from(["budget:whole", "budget:key", "budget:here", "budget:there"])
_RATES = st.sampled_from(["tokens:key", "requests:key", "parallel:virtual_key:key"])
edits = st.one_of(
    st.builds(Edit, st.just("reset"), _BUDGETS),
    st.builds(Edit, st.just("period"), st.just("budget:key"), st.sampled_from([43_200, 86_400])),
    st.builds(Edit, st.just("limit"), _BUDGETS, st.integers(1, 15)),
    st.builds(Edit, st.just("limit"), _RATES, st.integers(1, 9)),
)
_SET_LIMIT = {
    "budget": "UPDATE budgets SET max_limit_nanousd = $1 WHERE id = $2",
    "tokens": "UPDATE rate_limits SET token_max_limit = $1 WHERE id = $2",
    "requests": "UPDATE rate_limits SET request_max_limit = $1 WHERE id = $2",
    "parallel": "UPDATE virtual_keys SET max_parallel_requests = $1 WHERE id = $2",
}


class EngineMachine(RuleBasedStateMachine):
    """Two workers on the same stores; each step is done by one of them."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.world.database.sweep()
        self.world.run(self._begin())
        self.model = Model(to_us(self.clock.now), meters())
        self.workers = [
            Worker(
                self.world.settings, self.world.store, self.world.counters, sealer=self.world.sealer, clock=self.clock
            )
            for _ in range(2)
        ]
        self.calls: dict[str, Call] = {}

    async def _begin(self) -> None:
        await self.world.redis.flushall()
        await make_tree(Factory(self.world.connection, self.world.sealer), self.clock)

    @rule(by=st.integers(0, 1), cost=costs, tokens=tokens, ttl=st.sampled_from([10, 300, 7200]))
    def authorize(self, by: int, cost: int, tokens: int, ttl: int) -> None:
        expires_us = self.model.now_us + ttl * US
        call = Call(f"call-{len(self.calls)}", cost * NANO, tokens, expires_us)
        self.calls[call.request_id] = call
        self._ask(by, call, ttl)

    @precondition(lambda self: self.calls)
    @rule(by=st.integers(0, 1), data=st.data())
    def authorize_again(self, by: int, data: st.DataObject) -> None:
        """An id that holds, that has ended, or that Redis has lost."""
        call = self.calls[data.draw(st.sampled_from(sorted(self.calls)))]
        hold = self.model.holds.get(call.request_id)
        if hold is not None and hold.tenant == self.model.tenant:
            answer = self.world.run(self.workers[by].authorize(**asked(call)))
            assert answer["allowed"]
        elif hold is None and self.model.is_remembered(call.request_id) is not None:
            self._ask(by, msgspec.structs.replace(call, expires_us=self.model.now_us + 300 * US), 300)

    def _ask(self, by: int, call: Call, ttl: int) -> None:
        model = self.model
        asking = self.workers[by].authorize(**asked(call), ttl=ttl)
        if model.is_remembered(call.request_id):
            with pytest.raises(RefusedError, match="settled, released or has expired"):
                self.world.run(asking)
            return
        stood = {meter.id: (model.used(meter), model.held(meter)) for meter in model.path()}
        was_overdue = model.is_overdue()
        answer = self.world.run(asking)
        assert answer["allowed"] == model.authorize(call), answer["message"]
        if not was_overdue:
            assert shown_before(answer, call) == stood

    @precondition(lambda self: self.calls)
    @rule(by=st.integers(0, 1), report=reports, data=st.data())
    def report(self, by: int, report: Report, data: st.DataObject) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.calls)))
        self._report(by, request_id, report)

    @precondition(lambda self: self.model.reports)
    @rule(by=st.integers(0, 1), data=st.data())
    def report_again(self, by: int, data: st.DataObject) -> None:
        known = {name: each for name, each in self.model.reports.items() if isinstance(each, Report)}
        if known:
            name = data.draw(st.sampled_from(sorted(known)))
            self._report(by, name.removesuffix(":late"), known[name])

    def _report(self, by: int, request_id: str, report: Report) -> None:
        used = {
            "cost": None if report.cost is None else report.cost / NANO,
            "input_tokens": report.tokens,
            "status": report.status,
            "model": "m",
        }
        answer = self.world.run(self.workers[by].report(request_id, **used))
        assert answer.status == self.model.report(request_id, report)

    @precondition(lambda self: self.calls)
    @rule(by=st.integers(0, 1), data=st.data())
    def release(self, by: int, data: st.DataObject) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.calls)))
        assert self.world.run(self.workers[by].release(request_id)) == self.model.release(request_id)

    @rule()
    def expire(self) -> None:
        for worker in self.workers:
            self.world.run(worker.expire())
        self.model.expire({hold.tenant for hold in self.model.holds.values()})

    @rule(cost=costs, tokens=tokens, late=reports)
    def time_out(self, cost: int, tokens: int, late: Report) -> None:
        """A call nobody reports until its hold is over."""
        before = len(self.calls)
        self.authorize(0, cost, tokens, 10)
        self.advance(10)
        self.expire()
        self._report(1, f"call-{before}", late)

    @rule(seconds=st.sampled_from([1, 10, 60, 300, 3600, 43_200]))
    def advance(self, seconds: int) -> None:
        self.clock.now += timedelta(seconds=seconds)
        self.model.now_us += seconds * US

    @rule(edit=edits)
    def edit(self, edit: Edit) -> None:
        meter = next(meter for meter in self.model.meters if meter.id == edit.meter)
        if edit.what == "limit":
            meter.limit = edit.number * (NANO if meter.kind == "budget" else 1)
            self._edit(_SET_LIMIT[meter.kind], meter.limit, meter.id.rpartition(":")[2])
            return
        if edit.what == "period":
            if meter.duration_us == edit.number * US:
                return
            meter.duration_us = edit.number * US
            self._edit("UPDATE budgets SET reset_duration = $1 WHERE id = $2", f"{edit.number}s", "key")
        else:
            self._edit("UPDATE budgets SET epoch = epoch + 1 WHERE id = $1", meter.id.removeprefix("budget:"))
        meter.epoch += 1

    @rule()
    def move(self) -> None:
        self.model.move()
        self._edit("UPDATE virtual_keys SET customer_id = $1", self.model.home)

    @rule()
    def lose_redis(self) -> None:
        self.world.run(self._flush())
        self.model.lose_redis()

    @invariant()
    def both_count_the_same(self) -> None:
        self.world.run(self._compare())

    async def _compare(self) -> None:
        rows = await self.world.connection.fetch("SELECT meter_id, epoch, window_start, used FROM meter_windows")
        ledger = {(row["meter_id"], row["epoch"], to_us(row["window_start"])): row["used"] for row in rows}
        assert without_zeros(ledger) == without_zeros(self.model.ledger)
        assert await held_in(self.world.redis) == self.model.held_fields()
        events = await self.world.connection.fetch("SELECT request_id FROM usage_events")
        assert sorted(row["request_id"] for row in events) == sorted(self.model.reports)
        counters = await self._counters()
        assert counters.pop("requests:key", None) == self.model.short.get("requests:key")
        assert {meter_id: used for meter_id, (_, _, used) in counters.items()} == {
            meter_id: ledger.get((meter_id, epoch, start_us), 0) for meter_id, (epoch, start_us, _) in counters.items()
        }

    async def _counters(self) -> dict[str, tuple[int, int, int]]:
        """What Redis has of each meter where its tenant is laid out now."""
        found: dict[str, tuple[int, int, int]] = {}
        for tenant in await self.world.connection.fetch("SELECT id, layout FROM tenants"):
            stored: dict[Any, Any] = await self.world.redis.hgetall(f"gov:{{{tenant['id']}}}:meters:{tenant['layout']}")
            for field, state in stored.items():
                if field in (b"version", b"about"):
                    continue
                if not is_left_behind(field.decode(), tenant["id"], self.model.tenant):
                    epoch, start_us, used = map(int, state.split(b":"))
                    found[field.decode()] = (epoch, start_us, used)
        return found

    def _edit(self, statement: str, *values: object) -> None:
        self.world.run(self._execute(statement, *values))
        for worker in self.workers:
            worker.doubt()

    async def _flush(self) -> None:
        await self.world.redis.flushall()

    async def _execute(self, statement: str, *values: object) -> None:
        await self.world.connection.execute(statement, *values)

    def teardown(self) -> None:
        for worker in self.workers:
            self.world.run(worker.engine.group_commit.close())


def asked(call: Call) -> dict[str, Any]:
    estimates = {"estimated_cost": call.cost / NANO, "estimated_input_tokens": call.tokens}
    return {"request_id": call.request_id, "model": "m", **estimates}


def shown_before(answer: Any, call: Call) -> dict[str, tuple[int, int]]:
    """Used and held of each meter on the path, before the call."""
    shown: dict[str, tuple[int, int]] = {}
    for each in answer["limits"]:
        limit = each["limit"]
        unit = NANO if limit["kind"] == "budget" else 1
        owner = "virtual_key:" if limit["kind"] == "parallel" else ""
        held = round(limit["held"] * unit) - (call.asks(limit["kind"]) if answer["allowed"] else 0)
        shown[f"{limit['kind']}:{owner}{limit['id']}"] = (round(limit["used"] * unit), held)
    return shown


def is_left_behind(meter_id: str, tenant_id: str, home: str) -> bool:
    """A meter of the virtual key where it is no more."""
    return meter_id.endswith(":key") and tenant_id != home


def without_zeros(totals: Any) -> dict[Any, int]:
    return {window: used for window, used in totals.items() if used}


async def held_in(redis: Redis) -> dict[str, int]:
    held: dict[str, int] = {}
    keys: list[Any] = await redis.keys("gov:*:held")
    for key in keys:
        tenant = key.decode().removeprefix("gov:{").partition("}")[0]
        fields: dict[Any, Any] = await redis.hgetall(key)
        held |= {f"{tenant} {field.decode()}": int(amount) for field, amount in fields.items()}
    return held


def test_the_engine_and_the_model_agree(world: World) -> None:
    EngineMachine.world = world
    run_state_machine_as_test(
        EngineMachine,
        settings=hypothesis_settings(
            max_examples=100,
            stateful_step_count=30,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
