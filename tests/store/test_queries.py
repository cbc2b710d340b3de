"""The queries in sql/queries: each fits the schema, and says what it is for and what it relies on."""

import re

import pytest

from service.store.postgres import Connection
from service.store.queries import queries

# aiosql makes a second function of each query that answers rows, for cursors; the text is the same.
NAMES = sorted(name for name in queries.available_queries if not name.endswith("_cursor"))
RELATIONS = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"


def sql_of(name: str) -> str:
    return str(getattr(queries, name).sql)


def comment_of(name: str) -> str:
    return " ".join((getattr(queries, name).__doc__ or "").split())


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z_0-9]+", text))


@pytest.mark.parametrize("name", NAMES)
async def test_a_query_fits_the_schema(undone: Connection, name: str) -> None:
    await undone.prepare(sql_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_query_says_what_it_is_for(name: str) -> None:
    assert re.match(r"[A-Z][^.:]{8,}[.:]", comment_of(name)), "a sentence about the query, above it"


@pytest.mark.parametrize("name", NAMES)
async def test_a_query_on_a_table_names_the_indexes_it_relies_on(undone: Connection, name: str) -> None:
    relations = {row["relname"] for row in await undone.fetch(RELATIONS)}
    if getattr(queries, name).operation.name == "SCRIPT" or not words(sql_of(name)) & relations:
        return
    uses = re.findall(r"\bUses ([^.;:(]+)", comment_of(name))
    assert uses, "a sentence that begins with Uses"
    named = {word for text in uses for word in words(text) if "_" in word}
    assert named <= relations, "a name that is no index"
