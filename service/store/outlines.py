"""Outlines of tenants: where each virtual key is, before any of it is loaded."""

from collections.abc import Sequence

import msgspec

from service.store.postgres import Connection
from service.store.queries import queries


class Place(msgspec.Struct, frozen=True, gc=False):
    """A virtual key and its team; a team without virtual keys has a place too."""

    team_id: str | None
    virtual_key_id: str | None


class Outline(msgspec.Struct, frozen=True):
    """The places of a customer's tenant in the order of its JSON."""

    customer_id: str
    places: list[Place]


async def count_places(snapshot: Connection, tenant_ids: Sequence[str]) -> list[int]:
    """How many teams and virtual keys each of these tenants has."""
    counts: list[int] = await queries.count_places(snapshot, tenant_ids=tenant_ids)
    return counts


async def load_outline(snapshot: Connection, tenant_id: str) -> Outline:
    row = await queries.load_outline(snapshot, tenant_id=tenant_id)
    return Outline(row["customer_id"], list(map(Place, row["team_ids"], row["virtual_key_ids"])))
