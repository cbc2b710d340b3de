"""The policies of a worker: by virtual key, loaded in batches, dropped when their tenant changes.

Bounded by an estimate of their bytes; the ones loaded first go first.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from service.domain.policy import GlobalPolicy, Policy
from service.domain.sealing import Sealer
from service.governance.policies.build import PolicyBuilder, SharedOwners, build_global
from service.store.policies import find_presented_virtual_keys, list_default_mcp_clients
from service.store.postgres import Connection, Store, StoreUnavailableError
from service.store.trees import Row, TreeScope, load_revisions, load_tree_rows

GLOBAL_TENANT = "global"
_KEYS_PER_LOAD = 200
_MOST_WAITING = 10_000
_MOST_TOLD = 10_000
# What is not there is not asked for again at once: a flood of wrong keys must not reach Postgres.
_UNKNOWN_SECONDS = 1.0
_MOST_UNKNOWN = 10_000
_POLICY_BYTES = 700
_LIMIT_BYTES = 220
_PROVIDER_BYTES = 60

# What a virtual key is asked for by: the hash of its value, or its id.
Ask = bytes | str


class Policies:
    """`revision`s told by Postgres decide whether what was loaded may still be kept."""

    def __init__(
        self, store: Store, *, sealer: Sealer, clock: Callable[[], datetime], max_bytes: int = 256 * 1024 * 1024
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._max_bytes = max_bytes
        self._policies: dict[str, Policy] = {}
        self._ids: dict[bytes, str] = {}
        self._of_tenant: defaultdict[str, set[str]] = defaultdict(set)
        self._shared = SharedOwners()
        self._stale: set[str] = set()
        self._told: dict[str, int] = {}
        self._unknown: dict[Ask, float] = {}
        self._global: GlobalPolicy | None = None
        self._global_changes = 0
        self._loading_global: asyncio.Task[GlobalPolicy] | None = None
        self._waiting: dict[Ask, asyncio.Future[Policy | None]] = {}
        self._loading: asyncio.Task[None] | None = None
        self.size_bytes = 0
        self.hits = 0
        self.misses = 0

    def known(self, value: str) -> Policy | None:
        """The policy of who presents `value`, if it is at hand; without asking anyone."""
        value_hash = self._sealer.hash_virtual_key(value)
        return self._at_hand(value_hash, self._ids.get(value_hash))

    def known_by_id(self, virtual_key_id: str) -> Policy | None:
        """The policy of a virtual key, if it is at hand; without asking anyone."""
        return self._at_hand(None, virtual_key_id)

    async def find(self, value: str) -> Policy | None:
        """None for a value no virtual key has. Raises StoreUnavailableError when that cannot be told."""
        value_hash = self._sealer.hash_virtual_key(value)
        policy = self._at_hand(value_hash, self._ids.get(value_hash)) or await self._load(value_hash)
        return policy if policy is not None and policy.answers_to(value_hash, self._clock()) else None

    async def find_user(self, value: str) -> Policy | None:
        """As `find`, also of a value that was rotated and works no more: what was used with it is booked."""
        value_hash = self._sealer.hash_virtual_key(value)
        return self._at_hand(value_hash, self._ids.get(value_hash)) or await self._load(value_hash)

    async def find_by_id(self, virtual_key_id: str) -> Policy | None:
        """None when there is no such virtual key, nor was lately. Raises StoreUnavailableError."""
        return self._at_hand(None, virtual_key_id) or await self._load(virtual_key_id)

    def whole_at_hand(self) -> GlobalPolicy | None:
        """What the whole deployment is held to, without asking anyone."""
        return None if self._stale and GLOBAL_TENANT in self._stale else self._global

    async def whole(self) -> GlobalPolicy:
        """What the whole deployment is held to. Raises StoreUnavailableError."""
        known = self.whole_at_hand()
        if known is not None:
            return known
        if self._loading_global is None:
            self._loading_global = asyncio.create_task(self._load_whole(), name="load limits of the deployment")
        try:
            return await asyncio.shield(self._loading_global)
        except StoreUnavailableError:
            if self._global is None:
                raise
            return self._global

    def forget(self, tenant_id: str, revision: int) -> None:
        """The tenant changed: what is older than `revision` is not used any more."""
        self._told.pop(tenant_id, None)
        self._told[tenant_id] = revision
        if len(self._told) > _MOST_TOLD:
            self._told.pop(next(iter(self._told)))
        self._unknown.clear()
        if tenant_id == GLOBAL_TENANT:
            self._global_changes += 1
            if self._global is not None and self._global.revision < revision:
                self._global = None
        self._shared.forget(tenant_id)
        ids = self._of_tenant.pop(tenant_id, None)
        if ids is None:
            return
        for virtual_key_id in ids:
            policy = self._policies.get(virtual_key_id)
            if policy is None or policy.tenant.id != tenant_id:
                continue
            if policy.revision < revision:
                self._drop(policy)
            else:
                self._of_tenant[tenant_id].add(virtual_key_id)

    def doubt_all(self) -> None:
        """Changes may have gone unheard: all of it is loaded again when next used, as far as Postgres answers."""
        self._stale = {*self._policies, GLOBAL_TENANT}
        self._global_changes += 1
        self._unknown.clear()

    def _at_hand(self, value_hash: bytes | None, virtual_key_id: str | None) -> Policy | None:
        if virtual_key_id is None or (self._stale and virtual_key_id in self._stale):
            return None
        policy = self._policies.get(virtual_key_id)
        if policy is None:
            return None
        if value_hash in (None, policy.value_hash) or policy.answers_to(value_hash, self._clock()):
            self.hits += 1
            return policy
        return None

    async def _load(self, asked: Ask) -> Policy | None:
        """In one batch with whatever else is asked for meanwhile."""
        loop = asyncio.get_running_loop()
        if self._unknown.get(asked, 0.0) > loop.time():
            return None
        future = self._waiting.get(asked)
        if future is None:
            if len(self._waiting) >= _MOST_WAITING:
                raise StoreUnavailableError("too many virtual keys are asked for at once")
            future = self._waiting[asked] = loop.create_future()
            if self._loading is None:
                self._loading = asyncio.create_task(self._load_waiting(), name="load policies")
        try:
            return await asyncio.shield(future)
        except StoreUnavailableError:
            stale = self._policies.get(asked if isinstance(asked, str) else self._ids.get(asked, ""))
            if stale is None:
                raise
            return stale

    async def _load_waiting(self) -> None:
        """Until nobody waits any more."""
        try:
            while self._waiting:
                asked = list(self._waiting)[:_KEYS_PER_LOAD]
                self.misses += len(asked)
                try:
                    found = await self._load_batch(asked)
                except StoreUnavailableError as error:
                    self._fail(asked, error)
                    continue
                self._answer(asked, found)
        except BaseException as error:
            self._fail(list(self._waiting), error)
            raise
        finally:
            self._loading = None

    def _answer(self, asked: Sequence[Ask], found: Sequence[Policy]) -> None:
        by_ask: dict[Ask, Policy] = {}
        for each in found:
            by_ask[each.virtual_key_id] = by_ask[each.value_hash] = each
            if each.previous_value_hash is not None:
                by_ask.setdefault(each.previous_value_hash, each)
            self._keep(each)
        until = asyncio.get_running_loop().time() + _UNKNOWN_SECONDS
        for ask in asked:
            future = self._waiting.pop(ask)
            policy = by_ask.get(ask)
            if policy is None:
                self._remember_unknown(ask, until)
            if not future.done():
                future.set_result(policy)

    def _fail(self, asked: Iterable[Ask], error: BaseException) -> None:
        for each in asked:
            future = self._waiting.pop(each)
            if not future.done():
                future.set_exception(error if isinstance(error, StoreUnavailableError) else RuntimeError("load failed"))
                future.exception()  # told to whoever waits; nobody may

    def _remember_unknown(self, asked: Ask, until_seconds: float) -> None:
        self._unknown[asked] = until_seconds
        if len(self._unknown) > _MOST_UNKNOWN:
            self._unknown.pop(next(iter(self._unknown)))

    async def _load_batch(self, asked: Sequence[Ask]) -> list[Policy]:
        async with self._store.snapshot() as snapshot:
            found = await find_presented_virtual_keys(
                snapshot,
                value_hashes=[each for each in asked if isinstance(each, bytes)],
                virtual_key_ids=[each for each in asked if isinstance(each, str)],
            )
            return await build_policies(snapshot, found, self._shared)

    async def _load_whole(self) -> GlobalPolicy:
        """Kept unless it changed while it was loaded: then it answers those who asked. Raises StoreUnavailableError."""
        changes = self._global_changes
        try:
            loaded = await self._load_global()
        finally:
            self._loading_global = None
        if changes == self._global_changes:
            self._global = loaded
            self._stale.discard(GLOBAL_TENANT)
        return loaded

    async def _load_global(self) -> GlobalPolicy:
        async with self._store.snapshot() as snapshot:
            (revision,) = await load_revisions(snapshot, [GLOBAL_TENANT])
            rows = await load_tree_rows(snapshot, TreeScope(tenant_ids=[GLOBAL_TENANT]))
            clients = await list_default_mcp_clients(snapshot)
            return build_global(rows, revision.tenant, revision.revision, clients)

    def _keep(self, policy: Policy) -> None:
        """Unless its tenant changed while it was loaded: then it answers those who asked, and is gone."""
        if policy.revision < self._told.get(policy.tenant.id, 0):
            return
        before = self._policies.get(policy.virtual_key_id)
        if before is not None:
            self._drop(before)
        self._policies[policy.virtual_key_id] = policy
        self._of_tenant[policy.tenant.id].add(policy.virtual_key_id)
        self._ids[policy.value_hash] = policy.virtual_key_id
        if policy.previous_value_hash is not None:
            self._ids[policy.previous_value_hash] = policy.virtual_key_id
        self._stale.discard(policy.virtual_key_id)
        self.size_bytes += size_of(policy)
        while self.size_bytes > self._max_bytes and len(self._policies) > 1:
            self._drop(next(iter(self._policies.values())))

    def _drop(self, policy: Policy) -> None:
        del self._policies[policy.virtual_key_id]
        self._stale.discard(policy.virtual_key_id)
        for value_hash in (policy.value_hash, policy.previous_value_hash):
            if value_hash is not None and self._ids.get(value_hash) == policy.virtual_key_id:
                del self._ids[value_hash]
        self.size_bytes -= size_of(policy)
        siblings = self._of_tenant.get(policy.tenant.id)
        if siblings is not None:
            siblings.discard(policy.virtual_key_id)
            if not siblings:
                del self._of_tenant[policy.tenant.id]
                self._shared.forget(policy.tenant.id)


async def build_policies(snapshot: Connection, found: Sequence[Row], shared: SharedOwners) -> list[Policy]:
    """The policies of virtual keys that were found in the same snapshot."""
    scope = TreeScope(
        virtual_key_ids=[row["id"] for row in found if not row["deleted"]],
        team_ids=list({row["team_id"] for row in found if row["team_id"] is not None}),
        customer_ids=list({row["customer_id"] for row in found if row["customer_id"] is not None}),
    )
    builder = PolicyBuilder(await load_tree_rows(snapshot, scope), shared)
    return [builder.policy(row) for row in found]


def size_of(policy: Policy) -> int:
    """About what a policy takes, without what it shares."""
    limits = len(policy.limits) + sum(len(access.limits) for access in policy.providers)
    limits += sum(len(each.limits) for each in policy.model_limits)
    return _POLICY_BYTES + _LIMIT_BYTES * limits + _PROVIDER_BYTES * len(policy.providers)
