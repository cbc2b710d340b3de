"""What reported calls hold: found by their ids, wherever they were admitted."""

import asyncio
from asyncio import gather
from collections.abc import Mapping, Sequence

import msgspec

from service.counters.batching import ScriptBatcher
from service.counters.holds import Hold, find_tenants, read_holds
from service.governance.holds import HoldDetails, KnownHolds, decode_details
from service.governance.policies.cache import GLOBAL_TENANT


class Held(msgspec.Struct, frozen=True, gc=False):
    """A call's hold: the tenants it is in (the whole deployment's limits too, maybe) and what it holds there."""

    details: HoldDetails
    parts: tuple[tuple[str, Hold], ...]


class HoldFinder:
    """Asks Redis only where this worker does not know, and once for all calls of a turn of the event loop."""

    def __init__(self, batcher: ScriptBatcher, known: KnownHolds) -> None:
        self._batcher = batcher
        self._known = known
        self._to_ask: list[str] = []
        self._asking: asyncio.Task[dict[str, str]] | None = None

    async def find(self, request_ids: Sequence[str]) -> dict[str, Held]:
        """By request id, those that hold something. Raises CountersUnavailableError."""
        found = await self._read(await self._own_tenants(await self._tenants_of(request_ids)))
        # What is known here may be over: Redis lost it, and another worker admitted the call again.
        missed = [each for each in request_ids if each not in found and self._known.tenant_of(each) is not None]
        if missed:
            found |= await self._read(await self._own_tenants(await self._ask(missed)))
        details = {request_id: decode_details(hold.details) for request_id, hold in found.items()}
        of_all = [request_id for request_id, each in details.items() if each.has_global]
        whole = await self._read({GLOBAL_TENANT: of_all}) if of_all else {}
        return {
            request_id: Held(
                details[request_id],
                tuple(
                    (tenant_id, part)
                    for tenant_id, part in (
                        (details[request_id].tenant_id, hold),
                        (GLOBAL_TENANT, whole.get(request_id)),
                    )
                    if part is not None
                ),
            )
            for request_id, hold in found.items()
        }

    async def _own_tenants(self, by_tenant: dict[str, list[str]]) -> Mapping[str, list[str]]:
        """The limits of the whole deployment are asked first: what holds there alone was never admitted."""
        of_all = by_tenant.pop(GLOBAL_TENANT, [])
        for hold in await read_holds(self._batcher, GLOBAL_TENANT, of_all) if of_all else ():
            by_tenant.setdefault(decode_details(hold.details).tenant_id, []).append(hold.request_id)
        return by_tenant

    async def _tenants_of(self, request_ids: Sequence[str]) -> dict[str, list[str]]:
        unknown = [request_id for request_id in request_ids if self._known.tenant_of(request_id) is None]
        by_tenant = await self._ask(unknown) if unknown else {}
        for request_id in request_ids:
            tenant_id = self._known.tenant_of(request_id)
            if tenant_id is not None:
                by_tenant.setdefault(tenant_id, []).append(request_id)
        return by_tenant

    async def _ask(self, request_ids: Sequence[str]) -> dict[str, list[str]]:
        self._to_ask += request_ids
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_for_all(), name="find holds")
        # Whoever goes away takes the answer from nobody else.
        tenants = await asyncio.shield(self._asking)
        by_tenant: dict[str, list[str]] = {}
        for request_id in dict.fromkeys(request_ids):
            if request_id in tenants:
                by_tenant.setdefault(tenants[request_id], []).append(request_id)
        return by_tenant

    async def _ask_for_all(self) -> dict[str, str]:
        """A task begins after the turn it was made in: by then whoever asks in that turn has said for what."""
        asked, self._to_ask, self._asking = self._to_ask, [], None
        return await find_tenants(self._batcher, asked)

    async def _read(self, by_tenant: Mapping[str, list[str]]) -> dict[str, Hold]:
        answers = await gather(*(read_holds(self._batcher, tenant_id, ids) for tenant_id, ids in by_tenant.items()))
        return {hold.request_id: hold for holds in answers for hold in holds}
