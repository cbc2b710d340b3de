"""What a report is booked as: what it cost, and which meters it is charged to."""

import hashlib
from datetime import datetime

import msgspec

from service.domain.charging import Amounts, charges_at, counted_requests
from service.domain.inputs.calls import UsageInput
from service.domain.money import usd_to_nanousd
from service.domain.policy import GlobalPolicy, Policy, limits_on
from service.domain.pricing import PricedCall, Tokens
from service.domain.usage import MeterCharge, UsageEvent
from service.domain.windows import to_us
from service.governance.holds import HoldDetails
from service.governance.policies.prices import PriceBook
from service.governance.settlement.charges import held_charges, ledger_charges, live_uses, rerouted
from service.governance.settlement.held import Held
from service.governance.settlement.waiting import Booking

_encode = msgspec.json.Encoder(order="sorted").encode


class Context(msgspec.Struct, frozen=True, gc=False):
    """What the reports of one request have in common."""

    prices: PriceBook
    whole: GlobalPolicy
    now: datetime


class _Call(msgspec.Struct, frozen=True, gc=False):
    """What a report is about. Without a policy its virtual key is gone, and `held` says whose the call was."""

    policy: Policy | None
    held: Held | None
    provider: str | None
    model: str | None

    @property
    def details(self) -> HoldDetails | None:
        return None if self.held is None else self.held.details

    @property
    def owner(self) -> HoldDetails | Policy | None:
        """Whose call it was when it was admitted; now, when it holds nothing."""
        return self.details or self.policy

    @property
    def tenant_id(self) -> str:
        if self.held is not None:
            return self.held.details.tenant_id
        return self.policy.tenant.id if self.policy else ""


def booking_of(event: UsageInput, policy: Policy | None, held: Held | None, context: Context) -> Booking:
    """One of `policy` and `held` there is."""
    details = None if held is None else held.details
    provider = event.provider or (details.provider if details else None)
    model = event.model or (details.model if details else None)
    booked = _booked(event, _Call(policy, held, provider, model), context)
    charges = booked.charges
    if held is None and not any(charge.live_only for charge in charges):
        return Booking(event=booked)
    held_as, tenant_id = (event.request_id if held else ""), booked.tenant_id
    return Booking(
        event=msgspec.structs.replace(booked, charges=ledger_charges(charges)),
        held_in=tuple(tenant_id for tenant_id, _ in held.parts) if held else (),
        uses=tuple(live_uses(charges, held_as, tenant_id, policy, context.whole)),
    )


def _booked(event: UsageInput, call: _Call, context: Context) -> UsageEvent:
    """With all it is charged to, in the ledger or not."""
    cost_nanousd, priced = _cost(event, call, context.prices)
    input_tokens, output_tokens = _tokens(event, call.details)
    at = event.occurred_at or context.now
    amounts = Amounts(cost_nanousd, input_tokens + output_tokens, counted_requests(event.status))
    owner = call.owner
    return UsageEvent(
        request_id=event.request_id,
        fingerprint=_fingerprint(event, call),
        tenant_id=call.tenant_id,
        virtual_key_id=owner.virtual_key_id if owner else "",
        team_id=owner.team_id if owner else None,
        customer_id=owner.customer_id if owner else None,
        provider=call.provider or "",
        model=call.model or "",
        status=event.status,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_input_tokens=event.cached_input_tokens or 0,
        cost_nanousd=cost_nanousd,
        priced=priced,
        occurred_at=at,
        metadata=event.metadata,
        charges=_charges(call, amounts, at, context),
    )


def _charges(call: _Call, amounts: Amounts, at: datetime, context: Context) -> list[MeterCharge]:
    if call.held is not None:
        return _charges_of_held(call, call.held, amounts, context.whole)
    if call.policy is None:
        return []
    limits = limits_on(context.whole.path(call.provider, call.model), call.policy.path(call.provider, call.model))
    return charges_at(limits, amounts, to_us(at))


def _charges_of_held(call: _Call, held: Held, amounts: Amounts, whole: GlobalPolicy) -> list[MeterCharge]:
    details = held.details
    charges = held_charges(held, whole, amounts)
    if call.policy is not None and (call.provider, call.model) != (details.provider, details.model):
        charges = rerouted(charges, call.policy, whole, details, amounts, (call.provider, call.model))
    return charges


def _cost(event: UsageInput, call: _Call, prices: PriceBook) -> tuple[int, bool]:
    """In nano-dollars, and whether that is a price: as reported, by the price table, as it was held, or nothing."""
    if event.cost is not None:
        return usd_to_nanousd(event.cost), True
    if event.has_figures and call.model is not None:
        cost = _priced(event, call, call.model, prices)
        if cost is not None:
            return cost, True
    if not event.has_figures and event.status != "success":
        return 0, True
    held_nanousd = call.details.cost_nanousd if call.details else None
    return held_nanousd or 0, False


def _priced(event: UsageInput, call: _Call, model: str, prices: PriceBook) -> int | None:
    tokens = Tokens(
        input_tokens=event.input_tokens or 0,
        output_tokens=event.output_tokens or 0,
        cached_input_tokens=event.cached_input_tokens or 0,
    )
    owner = call.policy or call.details
    virtual_key_id = owner.virtual_key_id if owner else None
    return prices.cost_nanousd(
        PricedCall(model=model, provider_id=call.provider, virtual_key_id=virtual_key_id), tokens
    )


def _tokens(event: UsageInput, details: HoldDetails | None) -> tuple[int, int]:
    """A success without figures is booked at what it held, never at zero."""
    if not event.has_figures and event.status == "success" and details is not None:
        return details.tokens or 0, 0
    return event.input_tokens or 0, event.output_tokens or 0


def _fingerprint(event: UsageInput, call: _Call) -> bytes:
    """Of what was reported; the key by its id, however it was named."""
    owner = call.policy or call.details
    reported = (
        owner.virtual_key_id if owner else "",
        event.provider,
        event.model,
        event.input_tokens,
        event.output_tokens,
        event.cached_input_tokens,
        event.cost,
        event.status,
        event.occurred_at and to_us(event.occurred_at),
        event.metadata,
    )
    return hashlib.blake2b(_encode(reported), digest_size=16).digest()
