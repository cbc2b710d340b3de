"""Pricing overrides and base prices (0009_pricing.sql): a row that cannot be meant is refused, whoever writes it."""

from typing import Any

import asyncpg
import pytest

from service.domain.inputs.pricing import SCOPE_IDS
from service.domain.pricing import SCOPES, ScopeKind
from service.store.postgres import Connection
from tests.factories import Factory

INSERT = """
    INSERT INTO pricing_overrides (id, name, scope_kind, user_id, virtual_key_id, provider_id, provider_key_id,
                                   match_type, pattern, pricing_patch)
    VALUES ('o', 'o', $1, $2, $3, $4, $5, $6, $7, $8)
"""


async def insert(connection: Connection, kind: str, ids: Any = (), match: tuple[str, str] = ("exact", "m")) -> None:
    values = [name if name in ids else None for name in SCOPE_IDS]
    await connection.execute(INSERT, kind, *values, *match, b"{}")


@pytest.mark.parametrize("kind", SCOPES)
async def test_a_scope_kind_has_just_its_ids(undone: Connection, make_undone: Factory, kind: ScopeKind) -> None:
    await make_undone.virtual_key(id="virtual_key_id")
    right = set(SCOPES[kind])
    for name in SCOPE_IDS:
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            async with undone.transaction():
                await insert(undone, kind, right ^ {name})
        assert refused.value.constraint_name == "pricing_overrides_scope"
    await insert(undone, kind, right)


async def test_a_scope_kind_is_one_of_nine(undone: Connection) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await insert(undone, "team")


@pytest.mark.parametrize("match", [("exact", "gpt"), ("wildcard", "gpt-*")])
async def test_a_pattern_of_its_type_is_taken(undone: Connection, match: tuple[str, str]) -> None:
    await insert(undone, "global", match=match)


@pytest.mark.parametrize(
    "match",
    [("exact", "gpt-*"), ("exact", ""), ("wildcard", "gpt"), ("wildcard", "*"), ("wildcard", "a*b*"), ("regex", "a")],
)
async def test_a_pattern_of_another_type_is_refused(undone: Connection, match: tuple[str, str]) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await insert(undone, "global", match=match)


@pytest.mark.parametrize("column", ["input_nanousd", "output_nanousd", "cached_input_nanousd", "input_batches_nanousd"])
async def test_no_price_is_negative(undone: Connection, column: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await undone.execute(f"INSERT INTO model_prices (provider, model, {column}) VALUES ('p', 'm', -1)")
