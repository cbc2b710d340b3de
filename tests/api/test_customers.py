"""`GET /api/governance/customers`: one customer by its id, and the tree on the wire."""

from urllib.parse import quote

import pytest
from yarl import URL

from tests.conftest import TestApi
from tests.factories import Factory
from tests.reading import CUSTOMERS, read_only_customer, read_page


async def test_an_empty_deployment_answers_an_empty_page(api: TestApi) -> None:
    assert await read_page(api) == {"customers": [], "count": 0, "total_count": 0, "limit": 0, "offset": 0}


async def test_a_virtual_key_is_shown_with_the_value_it_was_made_with(api: TestApi, make: Factory) -> None:
    customer_id = await make.customer()
    await make.virtual_key(customer_id=customer_id, value="sk-bf-shown-to-who-may-see-it")
    assert (await read_only_customer(api))["virtual_keys"][0]["value"] == "sk-bf-shown-to-who-may-see-it"


async def test_a_customer_is_answered_by_its_id_as_in_the_list(api: TestApi, make: Factory) -> None:
    for customer_id in ("acme", "other"):
        await make.customer(id=customer_id)
        await make.team(customer_id=customer_id)
        await make.budget(customer_id=customer_id)
    listed = (await read_page(api))["customers"]
    response = await api.get(f"{CUSTOMERS}/other")
    assert response.status == 200
    assert await response.json() == {"customer": listed[1]}


async def test_a_customer_shows_the_teams_and_keys_of_no_other(api: TestApi, make: Factory) -> None:
    for customer_id in ("acme", "other"):
        await make.customer(id=customer_id)
        await make.team(id=f"team of {customer_id}", customer_id=customer_id)
        await make.virtual_key(id=f"key of {customer_id}", customer_id=customer_id)
        await make.virtual_key(id=f"team key of {customer_id}", team_id=f"team of {customer_id}")
    await make.team(id="alone")
    await make.virtual_key(id="key of alone", team_id="alone")
    await make.virtual_key(id="key of nobody")
    for customer in (await read_page(api))["customers"]:
        (team,) = customer["teams"]
        (virtual_key,) = customer["virtual_keys"]
        (team_key,) = team["virtual_keys"]
        assert team["id"] == f"team of {customer['id']}"
        assert virtual_key["id"] == f"key of {customer['id']}"
        assert team_key["id"] == f"team key of {customer['id']}"
        assert (customer["virtual_key_count"], team["virtual_key_count"]) == (1, 1)


@pytest.mark.parametrize("customer_id", ["nobody", "ACME", "acme ", "%61cme%2F", "team:x", "customer:acme", "' OR 1=1"])
async def test_an_unknown_customer_is_a_404(api: TestApi, make: Factory, customer_id: str) -> None:
    await make.customer(id="acme")
    response = await api.get(f"{CUSTOMERS}/{quote(customer_id, safe='')}")
    assert response.status == 404
    assert (await response.json())["error"] == {"message": "Customer not found"}


@pytest.mark.parametrize(
    "customer_id",
    [
        "with space",
        "a/b",
        "a%2Fb",
        "100%",
        "?x=1&y=2#z",
        "a+b",
        "{braces}",
        "ünï-日本",
        "no\N{NO-BREAK SPACE}break",
        "family \N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}",
        "x" * 255,
        "日" * 255,
        'quote"d',
        "back\\slash",
    ],
)
async def test_any_id_the_database_takes_can_be_asked_for(api: TestApi, make: Factory, customer_id: str) -> None:
    await make.customer(id=customer_id)
    response = await api.get(URL(f"{CUSTOMERS}/{quote(customer_id, safe='')}", encoded=True))
    assert response.status == 200, await response.text()
    assert (await response.json())["customer"]["id"] == customer_id


@pytest.mark.parametrize("escaped", ["%00", "a%00b", "%0a", "%7f", "x" * 256, "%e6%97%a5" * 256])
async def test_an_id_that_cannot_be_one_is_refused(api: TestApi, escaped: str) -> None:
    response = await api.get(URL(f"{CUSTOMERS}/{escaped}", encoded=True))
    assert response.status == 400
    assert "customer_id" in (await response.json())["error"]["message"]


@pytest.mark.parametrize("escaped", ["%ff", "%c3%28", "%ed%a0%80", "%", "%zz"])
async def test_an_id_that_is_not_utf_8_is_no_customer(api: TestApi, escaped: str) -> None:
    response = await api.get(URL(f"{CUSTOMERS}/{escaped}", encoded=True))
    assert response.status in {400, 404}
    assert (await response.json())["status_code"] == response.status
