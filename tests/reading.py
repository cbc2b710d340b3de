"""Reading the governance tree over HTTP, as a client does."""

import json
from decimal import Decimal
from typing import Any

from tests.conftest import TestApi

CUSTOMERS = "/api/governance/customers"


async def read_page(api: TestApi, **query: str) -> Any:
    """The decoded answer of the list; money is Decimal, so that a test sees the very digits."""
    response = await api.get(CUSTOMERS, params=query)
    assert response.status == 200, await response.text()
    return json.loads(await response.read(), parse_float=Decimal)


async def read_customers(api: TestApi) -> Any:
    """All customers."""
    return (await read_page(api))["customers"]


async def read_only_customer(api: TestApi) -> Any:
    """The one customer there is."""
    customers = await read_customers(api)
    assert len(customers) == 1
    return customers[0]
