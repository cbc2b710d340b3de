"""Calls over HTTP, on one database for all tests: a copy for each takes most of the time."""

import pytest

from tests.conftest import TestApi
from tests.gateway import Gateway
from tests.store.conftest import database_url, shared_database_url

__all__ = ["database_url", "gateway", "shared_database_url"]


@pytest.fixture
def gateway(api: TestApi) -> Gateway:
    return Gateway(api)
