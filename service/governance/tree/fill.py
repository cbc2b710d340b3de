"""Fill in a tenant part by part: what reads as before is kept, whatever else changed around it."""

from collections.abc import Mapping
from datetime import datetime

from service.counters.meters import TenantCounters
from service.domain.meters import Meter, MeterState
from service.governance.tree.parts import TenantFragment, TenantTemplate
from service.governance.tree.steps import Steps
from service.governance.tree.template import Fragment, Template, fill, fill_in_order
from service.governance.tree.usage import is_warm

# About a millisecond, filled in; and what looking at one meter's state costs, in the same measure.
_BYTES_PER_STEP = 1024 * 1024
_BYTES_PER_METER = 1024


def filling_steps() -> Steps:
    """What all tenants of one read are filled in with."""
    return Steps(_BYTES_PER_STEP)


class Filling:
    """One tenant at `now`: `take` what Redis has; if something is `cold` then, `complete` it; and `finish`.

    `before` is what it was filled in with last. Nobody sees any of it before it is finished.
    """

    def __init__(self, template: TenantTemplate, before: TenantFragment | None, *, now: datetime, steps: Steps) -> None:
        self._template = template
        self._before = before
        self._now = now
        self._steps = steps
        number_of_parts = len(template.parts)
        self._bodies: list[bytes] = [b""] * number_of_parts
        self._valid_until: list[datetime | None] = [None] * number_of_parts
        self._stored: list[str | None] = [None] * number_of_parts
        self._incomplete: dict[int, dict[str, MeterState]] = {}
        self.cold: list[Meter] = []

    async def take(self, counters: TenantCounters) -> None:
        """Fill in every part of which Redis has all meters. Raises EpochBehindError."""
        for number, part in enumerate(self._template.parts):
            stored = ",".join([counters.states.get(meter.id, "") for meter in part.meters])
            if self._keep(number, stored):
                await self._steps.did(_BYTES_PER_METER * len(part.meters))
            else:
                self._take_part(number, part, stored, counters)
                await self._steps.did(_BYTES_PER_METER * len(part.meters) + len(self._bodies[number]))

    async def complete(self, loaded: Mapping[str, MeterState]) -> None:
        """With the states of those that were cold. Raises EpochBehindError."""
        for number, warm in self._incomplete.items():
            part = self._template.parts[number]
            states = [warm.get(meter.id) or loaded[meter.id] for meter in part.meters]
            self._set(number, fill_in_order(part, states, now=self._now))
            await self._steps.did(len(self._bodies[number]))

    def finish(self) -> TenantFragment:
        ends = [end for end in self._valid_until if end is not None]
        return TenantFragment(
            self._bodies, self._valid_until, self._stored, self._now, valid_until=min(ends, default=None)
        )

    def _keep(self, number: int, stored: str) -> bool:
        """Whether the part reads as it did."""
        before = self._before
        if before is None or not before.reads_the_same(number, stored, self._now):
            return False
        self._stored[number] = stored
        self._bodies[number], self._valid_until[number] = before.bodies[number], before.valid_until_of[number]
        return True

    def _take_part(self, number: int, part: Template, stored: str, counters: TenantCounters) -> None:
        states = _warm_states(part, counters)
        if len(states) == len(part.meters):
            self._set(number, fill(part, states, now=self._now))
            self._stored[number] = stored
        else:
            self._incomplete[number] = states
            self.cold += [meter for meter in part.meters if meter.id not in states]

    def _set(self, number: int, filled: Fragment) -> None:
        self._bodies[number], self._valid_until[number] = filled.body, filled.valid_until


async def fill_with(
    template: TenantTemplate, states: Mapping[str, MeterState], *, now: datetime, steps: Steps
) -> list[bytes]:
    """The JSON of each part with states of any origin. Raises EpochBehindError."""
    bodies: list[bytes] = []
    for part in template.parts:
        bodies.append(fill(part, states, now=now).body)
        await steps.did(len(bodies[-1]))
    return bodies


def _warm_states(part: Template, counters: TenantCounters) -> dict[str, MeterState]:
    """The meters Redis has at their epoch or a newer one; of an older epoch it has nothing to say."""
    states = ((meter, counters.state_of(meter.id)) for meter in part.meters)
    return {meter.id: state for meter, state in states if state is not None and is_warm(meter, state)}
