"""A tenant's template, made owner by owner: never more of its entities at a time than one of them."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from service.domain.sealing import Sealer
from service.governance.tree.build import TreeBuilder
from service.governance.tree.limits import LimitBuilder
from service.governance.tree.parts import PartsMaker, TenantTemplate
from service.governance.tree.steps import Steps
from service.governance.tree.template import Meters, Template, template_of
from service.store.outlines import Place
from service.store.trees import Row, TreeRows

# Stands for a list of children; like the mark of a hole, no byte of JSON text.
_CHILDREN = b"\x01"
# Any: it stands where the entities have a list.
_LIST_OF_CHILDREN: Any = msgspec.Raw(b"[" + _CHILDREN + b"]")
# One or two milliseconds of building.
_BYTES_PER_STEP = 256 * 1024


def building_steps() -> Steps:
    """What all tenants of one read are built with."""
    return Steps(_BYTES_PER_STEP)


class TenantBuilder:
    """Given the rows of all `places` in their order, `add` by `add`; the customer's own come with the first.

    Without a sealer, values are masked.
    """

    def __init__(
        self, tenant_id: str, places: Sequence[Place], *, sealer: Sealer | None, now: datetime, steps: Steps
    ) -> None:
        self._tenant_id = tenant_id
        self._key_counts = Counter(place.team_id for place in places if place.virtual_key_id is not None)
        self._sealer = sealer
        self._now = now
        self._steps = steps
        self._meters = Meters()
        self._parts = PartsMaker(self._meters)
        self._itself: Template
        # What ends the lists that are begun, the innermost last: after the customer's virtual keys, after its teams (up
        # to where its virtual keys begin), after the virtual keys of a team.
        self._ends: list[bytes] = []
        self._team_id: str | None = None
        self._separator = b""

    async def add(self, rows: TreeRows, places: Sequence[Place]) -> None:
        """The next places, with the rows of their teams and virtual keys."""
        builder = TreeBuilder(rows, self._sealer, self._now)
        limits = LimitBuilder(rows, self._now, self._meters)
        if not self._ends:
            self._begin_customer(rows.customers[self._tenant_id][0], builder, limits)
        teams = _by_id(rows.teams.get(self._tenant_id, []))
        virtual_keys = _by_id(rows.virtual_keys.get(self._tenant_id, []))
        for place in places:
            if place.team_id is None:
                self._end_teams()
            elif place.team_id != self._team_id:
                self._end_team()
                self._begin_team(teams[place.team_id], builder, limits)
            if place.virtual_key_id is not None:
                self._separate()
                self._parts.write_entity(builder.virtual_key_entity(virtual_keys[place.virtual_key_id], limits))
            if self._parts.is_full:
                await self._steps.did(self._parts.end_part())

    async def finish(self) -> TenantTemplate:
        while self._ends:
            self._parts.write(self._ends.pop())
        await self._steps.did(self._parts.end_part())
        return self._parts.finish(self._itself)

    def _begin_customer(self, row: Row, builder: TreeBuilder, limits: LimitBuilder) -> None:
        lists = {"teams": _LIST_OF_CHILDREN, "virtual_keys": _LIST_OF_CHILDREN}
        customer = builder.customer_entity(row, limits, **lists, virtual_key_count=self._key_counts[None])
        texts = beginning, after_teams, after_keys = msgspec.json.encode(customer).split(_CHILDREN)
        self._itself = template_of(b"".join(texts), self._meters)
        self._parts.write(beginning)
        self._ends = [after_keys, after_teams]

    def _begin_team(self, row: Row, builder: TreeBuilder, limits: LimitBuilder) -> None:
        count = self._key_counts[row["id"]]
        team = builder.team_entity(row, limits, virtual_keys=_LIST_OF_CHILDREN, virtual_key_count=count)
        beginning, after_keys = msgspec.json.encode(team).split(_CHILDREN)
        self._separate()
        self._parts.write(beginning)
        self._ends.append(after_keys)
        self._team_id, self._separator = row["id"], b""

    def _end_team(self) -> None:
        if self._team_id is not None:
            self._parts.write(self._ends.pop())
            self._team_id, self._separator = None, b","

    def _end_teams(self) -> None:
        self._end_team()
        if len(self._ends) > 1:
            self._parts.write(self._ends.pop())
            self._separator = b""

    def _separate(self) -> None:
        """From what is before it in its list."""
        self._parts.write(self._separator)
        self._separator = b","


def _by_id(rows: Sequence[Row]) -> dict[str, Row]:
    return {row["id"]: row for row in rows}
