"""Which provider a call goes to when its caller leaves that open: drawn by weight, exhausted ones passed over."""

from collections.abc import Callable, Sequence

from service.domain.decisions import Standing
from service.domain.policy import Limit, ProviderAccess
from service.governance.admission.verdict import EligibleProvider


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
    key_ids = ("*",) if access.key_ids is None else access.key_ids
    return EligibleProvider(access.provider, access.weight, key_ids, blocked_by)


def first_violated(standings: Sequence[Standing], of: Sequence[Limit]) -> Limit | None:
    """The first of the limits that refuses."""
    return next(
        (each.limit for each in standings if each.limit in of and each.is_violated and not each.limit.shadow), None
    )
