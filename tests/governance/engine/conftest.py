"""Workers without HTTP, on the test's stores."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import datetime

import msgspec
import pytest

from service.counters.client import CounterClient, open_counters
from service.domain.sealing import Sealer
from service.settings import Settings
from service.store.postgres import Store
from tests.conftest import Clock
from tests.governance.engine.worker import Worker

NewWorker = Callable[..., Worker]


@pytest.fixture
async def new_worker(
    settings: Settings, store: Store, counters: CounterClient, sealer: Sealer, clock: Clock
) -> AsyncIterator[NewWorker]:
    """Another worker on the same stores; settings of its own, and a clock, may be named."""
    async with AsyncExitStack() as open_workers:

        def make(*, on_clock: Callable[[], datetime] = clock, **changed: object) -> Worker:
            own = msgspec.structs.replace(settings, **changed)
            client = counters
            if "redis_url" in changed or "redis_timeout_ms" in changed:
                client = open_counters(own)
                open_workers.push_async_callback(client.close)
            worker = Worker(own, store, client, sealer=sealer, clock=on_clock)
            open_workers.push_async_callback(worker.engine.group_commit.close)
            return worker

        yield make


@pytest.fixture
def worker(new_worker: NewWorker) -> Worker:
    return new_worker()
