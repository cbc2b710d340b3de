"""Calls over HTTP, as a gateway makes them."""

import pytest

from tests.conftest import TestApi
from tests.gateway import Gateway


@pytest.fixture
def gateway(api: TestApi) -> Gateway:
    return Gateway(api)
