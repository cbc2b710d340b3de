"""Which meters a report is charged to: those that held its call, or those on its path when it held nothing."""

from collections.abc import Iterable, Iterator, Sequence

from service.counters.holds import Hold, LiveUse
from service.domain.charging import Amounts, charges_at
from service.domain.meters import Tenant
from service.domain.policy import GlobalPolicy, Policy, limits_on
from service.domain.usage import MeterCharge
from service.governance.holds import HoldDetails, decode_details
from service.governance.settlement.held import Held


def held_charges(held: Held, whole: GlobalPolicy, amounts: Amounts) -> list[MeterCharge]:
    """A call belongs to the windows it was admitted in, on every meter."""
    own = held.details.tenant_id
    charged = [hold for tenant_id, hold in held.parts if tenant_id == own or is_of_call(held.details, hold)]
    charges = [
        MeterCharge(meter.meter_id, meter.epoch, meter.window_start_us, amount, meter.kind == "r")
        for hold in charged
        for meter in hold.meters
        if (amount := _amount(meter.meter_id, amounts))
    ]
    return charges if len(charged) > 1 else charges + charges_not_held(held.details, whole, amounts)


def is_of_call(details: HoldDetails, part: Hold) -> bool:
    """Of several attempts at one call, one may have left its part of the hold for another provider than it has now."""
    return decode_details(part.details).provider == details.provider


def charges_not_held(details: HoldDetails, whole: GlobalPolicy, amounts: Amounts | None = None) -> list[MeterCharge]:
    """Of limits of the whole deployment that held the call, when that part of its hold is lost or of another provider.

    Without amounts, what was estimated.
    """
    if not details.has_global:
        return []
    amounts = amounts or Amounts(details.cost_nanousd or 0, details.tokens or 0, 1)
    return charges_at(limits_on(whole.path(details.provider, details.model)), amounts, details.admitted_us)


def _amount(meter_id: str, amounts: Amounts) -> int:
    kind = meter_id.partition(":")[0]
    return {"budget": amounts.cost_nanousd, "tokens": amounts.tokens, "requests": amounts.requests}.get(kind, 0)


def rerouted(
    charges: Sequence[MeterCharge],
    policy: Policy,
    whole: GlobalPolicy,
    details: HoldDetails,
    amounts: Amounts,
    used: tuple[str | None, str | None],
) -> list[MeterCharge]:
    """The call went to another provider or model than it was admitted for: to the limits of that one."""
    admitted = (details.provider, details.model)
    of_admitted = limits_on(policy.limits_of_provider(*admitted), whole.path(*admitted))
    of_used = tuple(limits_on(policy.limits_of_provider(*used), whole.path(*used)))
    left = {limit.meter_id for limit in of_admitted} - {limit.meter_id for limit in of_used}
    kept = [charge for charge in charges if charge.meter_id not in left]
    known = {charge.meter_id for charge in kept}
    more = [limit for limit in of_used if limit.meter_id not in known]
    return kept + charges_at(more, amounts, details.admitted_us)


def ledger_charges(charges: Iterable[MeterCharge]) -> list[MeterCharge]:
    return [charge for charge in charges if not charge.live_only]


def live_uses(
    charges: Iterable[MeterCharge], held_as: str, tenant_id: str, policy: Policy | None, whole: GlobalPolicy
) -> Iterator[tuple[Tenant, LiveUse]]:
    """In the counters of the tenant as it is laid out now; those of the whole deployment in theirs."""
    of_all = {limit.meter_id for each in whole.model_limits for limit in each.limits}
    layout = policy.tenant.layout if policy and policy.tenant.id == tenant_id else 0
    for charge in charges:
        if charge.live_only:
            tenant = whole.tenant if charge.meter_id in of_all else Tenant(tenant_id, layout)
            use = LiveUse(held_as, charge.meter_id, charge.epoch, charge.window_start_us, charge.amount)
            yield tenant, use
