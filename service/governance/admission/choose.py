"""Which provider a call goes to when its caller leaves that open: drawn by weight, exhausted ones passed over."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from service.domain.decisions import Standing
from service.domain.policy import Limit, ProviderAccess
from service.governance.admission.verdict import BlockedBy, EligibleProvider

_EVERY_KEY = ("*",)


def in_turn(providers: Sequence[ProviderAccess], draw: Callable[[], float]) -> list[ProviderAccess]:
    """One drawn by weight, then the others by weight; those without a weight come last, as they are configured.

    `draw` answers a number from 0 up to 1.
    """
    if len(providers) < 2:
        return list(providers)
    weighted = sorted((each for each in providers if each.weight), key=lambda each: -(each.weight or 0))
    others = [each for each in providers if not each.weight]
    if not weighted:
        return others
    place = draw() * sum(each.weight or 0 for each in weighted)
    drawn = weighted[-1]
    for each in weighted:
        place -= each.weight or 0
        if place < 0:
            drawn = each
            break
    return [drawn, *(each for each in weighted if each is not drawn), *others]


def eligible(access: ProviderAccess, blocked_by: Limit | None = None) -> EligibleProvider:
    key_ids = _EVERY_KEY if access.key_ids is None else access.key_ids
    if blocked_by is None:
        return EligibleProvider(access.provider, access.weight, key_ids)
    blocking = BlockedBy(blocked_by.id, blocked_by.kind, blocked_by.holder.level)
    return EligibleProvider(access.provider, access.weight, key_ids, blocking)


def first_without_room(
    path: Iterable[Limit], standings: Sequence[Standing], *, cost_nanousd: int | None
) -> Limit | None:
    """The first limit of a provider's path that would refuse the call, which costs what it costs there.

    Only of what is known: `standings` may be of some of the limits.
    """
    known = {each.limit.meter_id: each for each in standings}
    for limit in path:
        standing = known.get(limit.meter_id)
        if standing is None or limit.shadow:
            continue
        if limit.kind == "budget":
            standing = msgspec.structs.replace(standing, requested=cost_nanousd or None)
        if standing.is_violated:
            return limit
    return None
