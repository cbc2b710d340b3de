"""Load tenants from a snapshot and build them: small ones together, a large one page by page."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from service.domain.sealing import Sealer
from service.governance.tree.parts import TenantTemplate
from service.governance.tree.tenant import TenantBuilder, building_steps
from service.store.outlines import Place, count_places, load_outline
from service.store.postgres import Connection
from service.store.trees import TreeRows, TreeScope, load_tree_rows

# What nine queries answer at a time: rows of so many teams and virtual keys take the event loop some milliseconds to
# take apart, and few enough to be gone before the garbage collector looks for them.
_PLACES_PER_LOAD = 1000
_TENANTS_PER_LOAD = 25
T = TypeVar("T")


class TenantLoader:
    """Builds templates of customers' tenants from one snapshot; without a sealer, values are masked."""

    def __init__(self, snapshot: Connection, sealer: Sealer | None, *, now: datetime) -> None:
        self._snapshot = snapshot
        self._sealer = sealer
        self._now = now
        self._steps = building_steps()

    async def load(self, tenant_ids: Sequence[str]) -> AsyncIterator[tuple[str, TenantTemplate]]:
        """All of them, in order."""
        for chunk in _chunks(tenant_ids, _TENANTS_PER_LOAD):
            counts = dict(zip(chunk, await count_places(self._snapshot, chunk), strict=True))
            for together in _divided(counts):
                if counts[together[0]] > _PLACES_PER_LOAD:
                    yield together[0], await self._load_by_pages(together[0])
                    continue
                rows = await load_tree_rows(self._snapshot, TreeScope(tenant_ids=together))
                for tenant_id in together:
                    yield tenant_id, await self._build(tenant_id, rows)

    async def _build(self, tenant_id: str, rows: TreeRows) -> TenantTemplate:
        places = list(_places(tenant_id, rows))
        builder = self._builder(tenant_id, places)
        await builder.add(rows, places)
        return await builder.finish()

    async def _load_by_pages(self, tenant_id: str) -> TenantTemplate:
        outline = await load_outline(self._snapshot, tenant_id)
        builder = self._builder(tenant_id, outline.places)
        customer_ids = [outline.customer_id]
        for page in _chunks(outline.places, _PLACES_PER_LOAD):
            scope = TreeScope(
                customer_ids=customer_ids,
                # In order, each once: a team whose virtual keys go on comes again, and is not shown again.
                team_ids=list(dict.fromkeys(place.team_id for place in page if place.team_id is not None)),
                virtual_key_ids=[place.virtual_key_id for place in page if place.virtual_key_id is not None],
            )
            await builder.add(await load_tree_rows(self._snapshot, scope), page)
            customer_ids = []
        return await builder.finish()

    def _builder(self, tenant_id: str, places: Sequence[Place]) -> TenantBuilder:
        return TenantBuilder(tenant_id, places, sealer=self._sealer, now=self._now, steps=self._steps)


def _divided(counts: Mapping[str, int]) -> Iterator[list[str]]:
    """Tenants that are loaded together: no more places than that, unless it is one tenant's."""
    together: list[str] = []
    places = 0
    for tenant_id, count in counts.items():
        if together and places + count > _PLACES_PER_LOAD:
            yield together
            together, places = [], 0
        together.append(tenant_id)
        places += count
    if together:
        yield together


def _places(tenant_id: str, rows: TreeRows) -> Iterator[Place]:
    """As an outline has them, of a tenant that is loaded."""
    keys_by_team: defaultdict[str | None, list[str | None]] = defaultdict(list)
    for row in rows.virtual_keys.get(tenant_id, []):
        keys_by_team[row["team_id"]].append(row["id"])
    for team in rows.teams.get(tenant_id, []):
        for virtual_key_id in keys_by_team[team["id"]] or [None]:
            yield Place(team["id"], virtual_key_id)
    for virtual_key_id in keys_by_team[None]:
        yield Place(None, virtual_key_id)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
