"""The engine of one worker: what decides about calls and books their usage, put together."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from service.counters.client import CounterClient
from service.domain.sealing import Sealer
from service.governance.admission.authorize import Admission, AdmissionParts, AdmissionSettings
from service.governance.admission.decide import LiveDecisions
from service.governance.admission.degraded import DegradedDecisions
from service.governance.admission.doubts import Doubts
from service.governance.admission.reserve import Reserver
from service.governance.admission.without_redis import LocalDecisions
from service.governance.holds import KnownHolds, NotedTenants
from service.governance.measures import EngineMeasures
from service.governance.policies.cache import Policies
from service.governance.policies.prices import PriceBook
from service.governance.policies.watch import PolicyWatch
from service.governance.settlement.expiry import Expiry, ExpiryParts
from service.governance.settlement.group_commit import GroupCommit
from service.governance.settlement.held import HoldFinder
from service.governance.settlement.late import Late
from service.governance.settlement.settle import Settlement, SettlementParts
from service.governance.tree.usage import Usage
from service.settings import Settings, parse_required_headers
from service.store.postgres import Store


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """`watch` and `expiry` run in the background."""

    admission: Admission
    settlement: Settlement
    group_commit: GroupCommit
    expiry: Expiry
    watch: PolicyWatch
    policies: Policies
    local: LocalDecisions
    doubts: Doubts


def build_engine(
    settings: Settings,
    store: Store,
    counters: CounterClient,
    *,
    sealer: Sealer,
    measures: EngineMeasures,
    clock: Callable[[], datetime],
) -> Engine:
    """Everything by what it needs; nothing is asked of a store yet."""
    batcher, usage, holds, noted = counters.batcher, Usage(store, counters), KnownHolds(), NotedTenants()
    policies = Policies(store, sealer=sealer, clock=clock, max_bytes=settings.policy_cache_mb * 1024 * 1024)
    prices = PriceBook(store)
    local = LocalDecisions(usage, policy=settings.on_counters_unavailable, shares=settings.replicas * settings.workers)
    group_commit = GroupCommit(store, batcher, measures=measures, clock=clock)
    doubts = Doubts(batcher)
    expiry = Expiry(
        ExpiryParts(
            batcher=batcher,
            group_commit=group_commit,
            known_holds=holds,
            noted=noted,
            policies=policies,
            doubts=doubts,
        ),
        expired_holds=settings.expired_holds,
        measures=measures,
        clock=clock,
    )
    reserver = Reserver(batcher, usage, noted=noted, expire=expiry.end_expired)
    admission = Admission(
        AdmissionParts(
            policies=policies,
            prices=prices,
            live=LiveDecisions(reserver, prices, holds),
            degraded=DegradedDecisions(local, prices, doubts, policy=settings.on_counters_unavailable),
            doubts=doubts,
        ),
        settings=AdmissionSettings(
            ttl_seconds=settings.hold_ttl_seconds,
            required_headers=parse_required_headers(settings.required_headers),
        ),
        measures=measures,
        clock=clock,
    )
    settlement = Settlement(
        SettlementParts(
            policies=policies,
            prices=prices,
            known_holds=holds,
            finder=HoldFinder(batcher, holds),
            group_commit=group_commit,
            late=Late(store, group_commit),
            batcher=batcher,
            local=local,
        ),
        measures=measures,
        oldest=timedelta(days=settings.idempotency_days),
        clock=clock,
    )
    return Engine(
        admission=admission,
        settlement=settlement,
        group_commit=group_commit,
        expiry=expiry,
        watch=PolicyWatch(settings.database_url, policies, prices),
        policies=policies,
        local=local,
        doubts=doubts,
    )
