"""Make, edit and remove one entity: what every kind of entity has in common."""

from collections.abc import Sequence

import msgspec

from service.domain.meters import MeterState, used_in
from service.domain.refusals import not_found
from service.domain.windows import window_at
from service.governance.changes.change import Change
from service.governance.configuration import configuration_of, etag_of
from service.governance.tree.shown import Show, Shown
from service.governance.tree.template import Template, fill
from service.store.ledger import load_meter_states
from service.store.limits import CarriedUsage, carry_usage, start_budget_epochs

_BUDGET_METER = "budget:"


class EntityKind(msgspec.Struct, frozen=True):
    """`type` as the audit log has it, `label` as messages begin."""

    type: str
    label: str
    show: Show


async def begin_edit(change: Change, kind: EntityKind, entity_id: str) -> Shown:
    """The entity before it is changed. Raises RefusedError: there is none, or not as the client last saw it."""
    before = await _show(change, kind, entity_id)
    change.check_match(etag_of(before.template))
    return before


async def finish_edit(
    change: Change, kind: EntityKind, before: Shown, *, action: str = "update", reset_budget_usage: bool = False
) -> bytes:
    """Carry usage into what was changed, tell the audit log, and answer the entity's JSON."""
    reset = _budget_ids(before.template) if reset_budget_usage else []
    states = await load_meter_states(change.connection, before.template.meters, now=change.now)
    await start_budget_epochs(change.connection, reset)
    after = await _show(change, kind, before.id)
    await carry_usage(change.connection, _carried(change, before.template, after.template, states, reset))
    old, new = configuration_of(before.template), configuration_of(after.template)
    if reset:
        old |= {"reset_budget_usage": False}
        new |= {"reset_budget_usage": True}
    await change.audit(action, (kind.type, after.id), before=old, after=new, tenant_id=after.tenant_id)
    return await _filled(change, after.template)


async def finish_creation(change: Change, kind: EntityKind, entity_id: str) -> bytes:
    """Tell the audit log, and answer the entity's JSON."""
    after = await _show(change, kind, entity_id)
    created = configuration_of(after.template)
    await change.audit("create", (kind.type, after.id), before=None, after=created, tenant_id=after.tenant_id)
    return await _filled(change, after.template)


async def finish_removal(change: Change, kind: EntityKind, before: Shown) -> None:
    removed = configuration_of(before.template)
    await change.audit("delete", (kind.type, before.id), before=removed, after=None, tenant_id=before.tenant_id)


async def _show(change: Change, kind: EntityKind, entity_id: str) -> Shown:
    shown = await kind.show(change.connection, [entity_id], sealer=change.sealer, now=change.now)
    if not shown:
        raise not_found(f"{kind.label} not found")
    return shown[0]


async def _filled(change: Change, template: Template) -> bytes:
    states = await load_meter_states(change.connection, template.meters, now=change.now)
    return fill(template, states, now=change.now).body


def _carried(
    change: Change, before: Template, after: Template, states: dict[str, MeterState], reset: Sequence[str]
) -> list[CarriedUsage]:
    """The usage of meters that go on in a new epoch, because their period or calendar was changed."""
    meters_before = {meter.id: meter for meter in before.meters}
    started_anew = {_BUDGET_METER + budget_id for budget_id in reset}
    carried: list[CarriedUsage] = []
    for meter in after.meters:
        old = meters_before.get(meter.id)
        if old is None or old.epoch == meter.epoch or meter.id in started_anew:
            continue
        used = used_in(window_at(old.rule, change.now), old, states[meter.id])
        if used:
            carried.append(CarriedUsage(meter.id, meter.epoch, window_at(meter.rule, change.now).start, used))
    return carried


def _budget_ids(template: Template) -> list[str]:
    return [meter.id.removeprefix(_BUDGET_METER) for meter in template.meters if meter.id.startswith(_BUDGET_METER)]
