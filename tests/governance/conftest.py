"""Replicas on the test's stores and clock."""

import pytest

from service.counters.client import CounterClient
from service.domain.sealing import Sealer
from service.store.postgres import Store
from tests.conftest import Clock
from tests.governance.using import Replica


@pytest.fixture
def replica(store: Store, counters: CounterClient, sealer: Sealer, clock: Clock) -> Replica:
    return Replica(store, counters, sealer=sealer, clock=clock)


@pytest.fixture
def other_replica(store: Store, counters: CounterClient, sealer: Sealer, clock: Clock) -> Replica:
    """Shares the stores with `replica` and nothing else."""
    return Replica(store, counters, sealer=sealer, clock=clock)
