"""The budget engine in plain Python: one virtual key, its meters, and what calls do to them, one after the other."""

from collections import Counter, defaultdict
from typing import Literal

import msgspec

from service.counters.keys import held_field

US = 1_000_000
HOUR_US = 3600 * US
REMEMBERED_US = 600 * US
GLOBAL = "global"

Kind = Literal["budget", "tokens", "requests", "parallel"]
Ended = tuple[str, str]  # tenant, request id
Window = tuple[str, int, int]  # meter, epoch, start


class Meter(msgspec.Struct):
    """`tenant` None: the one the virtual key is in."""

    id: str
    kind: Kind
    limit: int
    duration_us: int | None
    tenant: str | None = None
    epoch: int = 1

    @property
    def is_short(self) -> bool:
        """Counted in Redis only."""
        return self.duration_us is not None and self.duration_us < HOUR_US


class Part(msgspec.Struct, frozen=True):
    """What a call holds of one meter."""

    tenant: str
    meter: Meter
    epoch: int
    start_us: int
    amount: int

    @property
    def window(self) -> Window:
        return self.meter.id, self.epoch, self.start_us


class Call(msgspec.Struct, frozen=True):
    """What is asked for; nothing is unknown. `expires_us` is when its hold would."""

    request_id: str
    cost: int
    tokens: int
    expires_us: int

    def asks(self, kind: Kind) -> int:
        return {"budget": self.cost, "tokens": self.tokens}.get(kind, 1)


class Hold(msgspec.Struct, frozen=True):
    call: Call
    tenant: str
    parts: tuple[Part, ...]


class Report(msgspec.Struct, frozen=True):
    """What is reported; None is left out."""

    cost: int | None
    tokens: int | None
    status: str

    @property
    def has_figures(self) -> bool:
        return self.cost is not None or self.tokens is not None


class Booked(msgspec.Struct, frozen=True):
    """An expired hold in the ledger."""

    amounts: dict[Window, int]
    kinds: dict[Window, Kind]


class Model:
    """Amounts of budgets are nano-dollars. `home` is the customer the key is under."""

    def __init__(self, now_us: int, meters: list[Meter]) -> None:
        self.began_us = self.now_us = now_us
        self.meters = meters
        self.home = "here"
        self.ledger: Counter[Window] = Counter()
        self.short: dict[str, tuple[int, int, int]] = {}
        self.holds: dict[str, Hold] = {}
        self.reports: dict[str, Report | Literal["expired"]] = {}
        self.expired: dict[str, Booked] = {}
        self.ended: dict[Ended, int] = {}

    @property
    def tenant(self) -> str:
        return f"customer:{self.home}"

    def path(self) -> list[Meter]:
        """The meters a call is held against now: those of the customer the key is under, and of no other."""
        return [meter for meter in self.meters if meter.tenant in (None, GLOBAL, self.tenant)]

    def start_us(self, meter: Meter) -> int:
        if meter.duration_us is None:
            return 0
        passed_us = self.now_us - self.began_us
        return self.began_us + passed_us - passed_us % meter.duration_us

    def used(self, meter: Meter) -> int:
        if meter.is_short:
            epoch, start_us, used = self.short.get(meter.id, (0, 0, 0))
            return used if (epoch, start_us) == (meter.epoch, self.start_us(meter)) else 0
        return self.ledger[meter.id, meter.epoch, self.start_us(meter)]

    def held(self, meter: Meter) -> int:
        """In the tenant the meter is in now: what a moved key held before stays behind."""
        window = meter.id, meter.epoch if meter.duration_us else 0, self.start_us(meter)
        tenant = meter.tenant or self.tenant
        return sum(part.amount for part in self._parts() if part.tenant == tenant and part.window == window)

    def held_fields(self) -> dict[str, int]:
        """As Redis has it: nothing is no field."""
        held: defaultdict[str, int] = defaultdict(int)
        for part in self._parts():
            field = part.meter.id if part.meter.kind == "parallel" else held_field(*part.window)
            held[f"{part.tenant} {field}"] += part.amount
        return {field: amount for field, amount in held.items() if amount}

    def is_overdue(self) -> bool:
        return any(hold.call.expires_us <= self.now_us for hold in self.holds.values())

    def is_remembered(self, request_id: str) -> bool | None:
        """Whether the id is refused; None when it may be forgotten by now."""
        until_us = [self.ended.get((tenant, request_id)) for tenant in (GLOBAL, self.tenant)]
        known = [each for each in until_us if each is not None]
        return None if any(each <= self.now_us for each in known) else bool(known)

    def authorize(self, call: Call) -> bool:
        """Whether it is admitted; expired holds are ended first where they take room."""
        parts = [self._part(meter, call) for meter in self.path()]
        whole, own = ([part for part in parts if (part.tenant == GLOBAL) == of_all] for of_all in (True, False))
        for group in (whole, own):
            if not self._fit(group) and self._expired_in(group[0].tenant):
                tenants = {hold.tenant for hold in self._expired_in(group[0].tenant)}
                self.expire(tenants)
        if not (self._fit(whole) and self._fit(own)):
            return False
        self.holds[call.request_id] = Hold(call, self.tenant, tuple(parts))
        return True

    def release(self, request_id: str) -> bool:
        hold = self.holds.get(request_id)
        if hold is not None:
            self._end(hold)
        return hold is not None

    def report(self, request_id: str, report: Report) -> str:
        """What becomes of it."""
        hold, known = self.holds.get(request_id), self.reports.get(request_id)
        amounts = self._amounts(report, hold)
        if known is not None and known not in ("expired", report):
            return "conflict"
        if known is None:
            self.reports[request_id] = report
            windows = hold.parts if hold else [self._part(meter, None) for meter in self.path()]
            self._charge(windows, amounts, hold)
        elif hold is not None:
            self._charge_short(hold.parts, amounts, hold)
        if hold is not None:
            self._end(hold)
        if known == "expired":
            return self._make_up(request_id, report, amounts)
        return "recorded" if known is None else "duplicate"

    def expire(self, tenants: set[str]) -> None:
        for hold in [each for each in self.holds.values() if each.tenant in tenants]:
            if hold.call.expires_us > self.now_us:
                continue
            request_id, amounts = hold.call.request_id, {kind: hold.call.asks(kind) for kind in _KINDS}
            known = self.reports.get(request_id)
            if known is None:
                self.reports[request_id] = "expired"
                self._charge(hold.parts, amounts, hold)
                ledger = [part for part in hold.parts if _is_in_ledger(part.meter)]
                self.expired[request_id] = Booked(
                    {part.window: part.amount for part in ledger}, {part.window: part.meter.kind for part in ledger}
                )
            elif known == "expired":
                self._charge_short(hold.parts, amounts, hold)
            self._end(hold)

    def lose_redis(self) -> None:
        self.holds.clear()
        self.ended.clear()
        self.short.clear()

    def move(self) -> None:
        """Counters kept in Redis only do not come along."""
        self.home = "there" if self.home == "here" else "here"
        self.short.clear()

    def _parts(self) -> list[Part]:
        return [part for hold in self.holds.values() for part in hold.parts]

    def _part(self, meter: Meter, call: Call | None) -> Part:
        epoch = meter.epoch if meter.duration_us else 0
        amount = call.asks(meter.kind) if call else 0
        return Part(meter.tenant or self.tenant, meter, epoch, self.start_us(meter), amount)

    def _fit(self, parts: list[Part]) -> bool:
        for part in parts:
            taken = self.used(part.meter) + self.held(part.meter)
            if taken + (part.amount or 1) > part.meter.limit:
                return False
        return True

    def _expired_in(self, tenant: str) -> list[Hold]:
        expired = [hold for hold in self.holds.values() if hold.call.expires_us <= self.now_us]
        return [hold for hold in expired if any(part.tenant == tenant for part in hold.parts)]

    def _amounts(self, report: Report, hold: Hold | None) -> dict[Kind, int]:
        """A success without figures is what it held."""
        held = hold.call if hold else None
        is_success = report.status == "success"
        cost, tokens = report.cost, report.tokens
        if cost is None:
            cost = held.cost if held and (report.has_figures or is_success) else 0
        if not report.has_figures:
            tokens = held.tokens if held and is_success else 0
        return {"budget": cost, "tokens": tokens or 0, "requests": int(is_success), "parallel": 0}

    def _charge(self, parts: "tuple[Part, ...] | list[Part]", amounts: dict[Kind, int], hold: Hold | None) -> None:
        for part in parts:
            if _is_in_ledger(part.meter):
                self.ledger[part.window] += amounts[part.meter.kind]
        self._charge_short(parts, amounts, hold)

    def _charge_short(
        self, parts: "tuple[Part, ...] | list[Part]", amounts: dict[Kind, int], hold: Hold | None
    ) -> None:
        if hold is not None and hold.tenant != self.tenant:
            return  # the key has moved since, and its short meters with it
        for part in parts:
            amount = amounts[part.meter.kind]
            if not part.meter.is_short or not amount:
                continue
            epoch, start_us, used = self.short.get(part.meter.id, (-1, 0, 0))
            if (part.epoch, part.start_us) == (epoch, start_us):
                self.short[part.meter.id] = (epoch, start_us, used + amount)
            elif (part.epoch, part.start_us) > (epoch, start_us):
                self.short[part.meter.id] = (part.epoch, part.start_us, amount)

    def _end(self, hold: Hold) -> None:
        request_id = hold.call.request_id
        del self.holds[request_id]
        for tenant in (hold.tenant, GLOBAL):
            self.ended[tenant, request_id] = self.now_us + REMEMBERED_US

    def _make_up(self, request_id: str, report: Report, amounts: dict[Kind, int]) -> str:
        """What a report says beyond the hold that was booked when it expired."""
        known = self.reports.get(f"{request_id}:late")
        if known is not None:
            return "duplicate" if known == report else "conflict"
        self.reports[f"{request_id}:late"] = report
        booked = self.expired[request_id]
        for window, amount in booked.amounts.items():
            self.ledger[window] += max(amounts[booked.kinds[window]] - amount, 0)
        return "recorded"


_KINDS: tuple[Kind, ...] = ("budget", "tokens", "requests", "parallel")


def _is_in_ledger(meter: Meter) -> bool:
    return meter.duration_us is not None and not meter.is_short
