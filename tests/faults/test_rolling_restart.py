"""Three replicas behind a balancer, restarted one after the other while they are asked: nothing is lost."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import aiohttp
import pytest

from service.settings import Settings
from service.store.postgres import Connection
from tests.factories import Factory
from tests.faults.balancer import balancing
from tests.faults.processes import Running, free_port, running
from tests.waiting import until

API = "/api/governance"
KEY = "sk-bf-of-this-test"
CALLERS = 4
# So that the replicas have a processor to start on.
_PAUSE_SECONDS = 0.02


class Replicas:
    """Each on a port of its own."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.ports: list[int] = []
        self._runs = count()
        self._folder = folder
        self._environment = {
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "GOVERNANCE_ENCRYPTION_KEY": settings.encryption_key,
            "GOVERNANCE_AUTH": "off",
            "GOVERNANCE_DRAIN_SECONDS": "1",
        }
        self._stack = ExitStack()

    def start(self) -> Running:
        folder, port = self._folder / str(next(self._runs)), free_port()
        folder.mkdir()
        self.ports.append(port)
        environment = self._environment | {"PORT": str(port)}
        return self._stack.enter_context(running("serve", folder=folder, environment=environment))

    def kill(self) -> None:
        self._stack.close()


@pytest.fixture
def replicas(settings: Settings) -> Iterator[Replicas]:
    with tempfile.TemporaryDirectory(prefix="governance-") as folder:
        replicas = Replicas(Path(folder), settings)
        yield replicas
        replicas.kill()


class Load:
    """Calls, asked for and reported, one after the other, until told to stop. `faults` are answers that are no 200."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}{API}"
        self._numbers = count()
        self.stop = False
        self.acknowledged: set[str] = set()
        self.faults: list[str] = []

    async def run(self) -> None:
        # A connection for each request: the balancer may choose anew.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10)) as session:
            while not self.stop:
                request_id = f"call {next(self._numbers)}"
                call = {"request_id": request_id, "virtual_key": KEY}
                await self._post(session, "authorize", call)
                if await self._post(session, "usage", call | {"input_tokens": 3, "output_tokens": 4}):
                    self.acknowledged.add(request_id)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _post(self, session: aiohttp.ClientSession, path: str, body: Mapping[str, object]) -> bool:
        try:
            async with session.post(f"{self._url}/{path}", json=body) as response:
                answer = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.faults.append(f"{path}: {error!r}")
            return False
        if response.status != 200 or '"allowed":false' in answer:
            self.faults.append(f"{path}: {response.status} {answer}")
        return response.status == 200


async def test_a_rolling_restart_under_load_loses_no_request_and_no_usage(
    replicas: Replicas, make: Factory, connection: Connection
) -> None:
    key_id = await make.virtual_key(value=KEY, allow_all_providers=True)
    await make.rate_limit(virtual_key_id=key_id, token_max_limit=10**9, request_max_limit=10**9)
    old = [replicas.start() for _ in range(3)]
    async with balancing(replicas.ports) as balancer:

        async def all_ready() -> bool:
            return len(balancer.ready) == len(replicas.ports)

        await until(all_ready, seconds=20)
        load = Load(balancer.port)
        callers = [asyncio.create_task(load.run()) for _ in range(CALLERS)]
        for replica in old:
            replicas.start()
            await until(all_ready, seconds=20)
            replica.send(signal.SIGTERM)
            gone = replicas.ports[0]
            assert await replica.exit_code() == 0
            replicas.ports.remove(gone)
        await until(all_ready)
        load.stop = True
        await asyncio.gather(*callers)
    assert load.faults == []
    booked = {row["request_id"] for row in await connection.fetch("SELECT request_id FROM usage_events")}
    assert booked == load.acknowledged
    assert len(booked) > 2 * CALLERS * len(old)
    used = await connection.fetchval("SELECT sum(used) FROM meter_windows WHERE meter_id LIKE 'tokens:%'")
    assert used == 7 * len(booked)
