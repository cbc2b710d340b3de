"""`limit`, `offset` and `search` of `GET /api/governance/customers`, as Bifrost clamps and answers them."""

from collections.abc import Iterable

import pytest
from yarl import URL

from service.store.postgres import Connection
from tests.conftest import TestApi
from tests.factories import Factory
from tests.reading import CUSTOMERS, read_page

THERE_ARE = 130


async def make_many(connection: Connection) -> None:
    """Customers `c001` … of one transaction, and so of one `created_at`."""
    await connection.execute(
        "INSERT INTO customers (id, name) SELECT 'c' || lpad(n::text, 3, '0'), 'Customer ' || n "
        "FROM generate_series(1, $1::integer) AS n ORDER BY random()",
        THERE_ARE,
    )


def ids(numbers: Iterable[int]) -> list[str]:
    return [f"c{number:03}" for number in numbers]


async def test_a_page_is_clamped_as_bifrost_clamps_it(api: TestApi, connection: Connection) -> None:
    await make_many(connection)
    cases: dict[str, tuple[int, int, range]] = {
        "": (130, 0, range(1, 131)),
        "limit=&offset=&search=": (130, 0, range(1, 131)),
        "limit=7": (7, 0, range(1, 8)),
        "limit=100": (100, 0, range(1, 101)),
        "limit=101": (100, 0, range(1, 101)),
        "limit=999999999999999": (100, 0, range(1, 101)),
        "limit=0": (25, 0, range(1, 26)),
        "limit=-3": (25, 0, range(1, 26)),
        "limit=007": (7, 0, range(1, 8)),
        "offset=0": (25, 0, range(1, 26)),
        "offset=120": (25, 120, range(121, 131)),
        "offset=-5": (25, 0, range(1, 26)),
        "offset=130": (25, 130, range(0)),
        "offset=999999999999999": (25, 999_999_999_999_999, range(0)),
        "limit=3&offset=128": (3, 128, range(129, 131)),
        "search=customer": (25, 0, range(1, 26)),
        "search=customer&limit=2&offset=1": (2, 1, range(2, 4)),
    }
    for query, (limit, offset, numbers) in cases.items():
        page = await read_page(api, **dict(URL(f"?{query}").query))
        shown = [customer["id"] for customer in page.pop("customers")]
        expected = {"count": len(numbers), "total_count": THERE_ARE, "limit": limit, "offset": offset}
        assert (query, page, shown) == (query, expected, ids(numbers))


async def test_pages_of_one_creation_time_neither_repeat_nor_miss_a_customer(
    api: TestApi, connection: Connection
) -> None:
    await make_many(connection)
    pages = [await read_page(api, limit="40", offset=str(offset)) for offset in range(0, 160, 40)]
    assert [customer["id"] for page in pages for customer in page["customers"]] == ids(range(1, 131))


async def test_total_count_is_of_the_matches_and_count_of_the_page(api: TestApi, connection: Connection) -> None:
    await make_many(connection)
    page = await read_page(api, search="Customer 12", limit="4")
    assert [customer["name"] for customer in page["customers"]] == [f"Customer {n}" for n in (12, 120, 121, 122)]
    assert (page["count"], page["total_count"], page["limit"]) == (4, 11, 4)


NAMES = ["100% Sure", "under_score", "back\\slash", "O'Brien; DROP TABLE customers", "ÉCOLE Straße", "Plain", "a*b?"]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("plain", ["Plain"]),
        ("PLAIN", ["Plain"]),
        ("lai", ["Plain"]),
        ("école", ["ÉCOLE Straße"]),
        ("ÉCOLE", ["ÉCOLE Straße"]),
        ("%", ["100% Sure"]),
        ("0%%", []),
        ("_", ["under_score"]),
        ("r_s", ["under_score"]),
        ("P__in", []),
        ("\\", ["back\\slash"]),
        ("\\s", ["back\\slash"]),
        ("'", ["O'Brien; DROP TABLE customers"]),
        ("'; drop", []),
        ("n; drop table", ["O'Brien; DROP TABLE customers"]),
        ("*", ["a*b?"]),
        ("?", ["a*b?"]),
        (" ", ["100% Sure", "O'Brien; DROP TABLE customers", "ÉCOLE Straße"]),
        ("\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}", []),
        ("no\N{NO-BREAK SPACE}break", []),
        ("x" * 255, []),
    ],
)
async def test_a_search_is_literal_and_in_any_case(api: TestApi, make: Factory, search: str, found: list[str]) -> None:
    for name in NAMES:
        await make.customer(name=name)
    page = await read_page(api, search=search)
    assert [customer["name"] for customer in page["customers"]] == found
    assert page["total_count"] == len(found)


async def test_a_query_value_that_cannot_be_meant_is_refused_by_name(api: TestApi) -> None:
    cases = {
        **{
            f"limit={text}": "limit"
            for text in ("abc", "1.5", "1e3", "0x10", "%202", "2%20", "%2b5", "%d9%a3", "--1", "-")
        },
        "offset=true": "offset",
        "offset=%00": "offset",
        "limit=1234567890123456": "limit",
        f"offset={'9' * 5000}": "offset",
        "limit=1&limit=2": "limit",
        "offset=1&offset=1": "offset",
        "search=a&search=a": "search",
        "search=&search=": "search",
        "search=%00": "search",
        "search=a%00b": "search",
        "search=a%0ab": "search",
        "search=%1b[31m": "search",
        f"search={'x' * 256}": "search",
    }
    for query, name in cases.items():
        response = await api.get(URL(f"{CUSTOMERS}?{query}", encoded=True))
        body = await response.json()
        assert (query[:40], response.status) == (query[:40], 400)
        assert f"'{name}'" in body["error"]["message"], query


@pytest.mark.parametrize("query", ["search=%ff", "search=%ed%a0%80", "search=%", "%ff=1", "&&=&", "unknown=1", "a[]=b"])
async def test_an_odd_query_is_no_failure(api: TestApi, query: str) -> None:
    response = await api.get(URL(f"{CUSTOMERS}?{query}", encoded=True))
    assert response.status in {200, 400}
    if response.status == 400:
        assert (await response.json())["error"]["message"]
