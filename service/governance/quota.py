"""What a virtual key may still use, told to who holds it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Raw

from service.domain.money import nanousd_to_json
from service.domain.sealing import Sealer
from service.governance.tree.entities import EntityReader
from service.governance.tree.shown import (
    Show,
    show_customers,
    show_model_configs_of_virtual_keys,
    show_teams,
    show_virtual_keys,
)
from service.store.postgres import Store
from service.store.usage import ModelUsage, list_model_usage
from service.store.virtual_keys import PresentedKey, find_virtual_key_by_hash

Document = dict[str, Any]


class QuotaReader:
    """Reads quotas by what is presented."""

    def __init__(self, store: Store, entities: EntityReader, *, sealer: Sealer, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._entities = entities
        self._sealer = sealer
        self._clock = clock

    async def identify(self, value: str) -> PresentedKey | None:
        """Who presents it; None for a value no virtual key has. Raises StoreUnavailableError."""
        async with self._store.connection() as connection:
            return await find_virtual_key_by_hash(connection, self._sealer.hash_virtual_key(value), as_of=self._clock())

    def is_expired(self, key: PresentedKey) -> bool:
        return key.expires_at is not None and self._clock() >= key.expires_at

    async def read(self, virtual_key_id: str) -> Document | None:
        """Limits of the key and of all it belongs to, with live usage; None when it was just deleted."""
        key = await self._one(show_virtual_keys, virtual_key_id)
        if key is None:
            return None
        team = await self._one(show_teams, key.get("team_id"))
        customer = await self._one(show_customers, key.get("customer_id") or (team or {}).get("customer_id"))
        models = await self._entities.read(show_model_configs_of_virtual_keys, [virtual_key_id], masked=True)
        owners = [(source, owner) for source, owner in (("vk", key), ("team", team), ("customer", customer)) if owner]
        return {
            "virtual_key_name": key["name"],
            "is_active": key["is_active"],
            "budgets": [
                await self._budget(budget, source, virtual_key_id)
                for source, owner in owners
                for budget in owner["budgets"]
            ],
            **({"rate_limit": key["rate_limit"]} if "rate_limit" in key else {}),
            "rate_limits": [
                owner["rate_limit"] | {"source": source} for source, owner in owners if "rate_limit" in owner
            ],
            # Which upstream keys there are is not for who holds a virtual key.
            "provider_configs": [config | {"keys": []} for config in key["provider_configs"]],
            "model_configs": list(_of_single_models(map(_decode, models.bodies))),
        }

    async def _one(self, show: Show, entity_id: str | None) -> Document | None:
        if entity_id is None:
            return None
        found = await self._entities.read(show, [entity_id], masked=True)
        return _decode(found.bodies[0]) if found.bodies else None

    async def _budget(self, budget: Document, source: str, virtual_key_id: str) -> Document:
        since = max(_instant(budget["last_reset"]), _instant(budget["created_at"]))
        async with self._store.connection() as connection:
            usage = await list_model_usage(connection, virtual_key_id, since=since.date())
        return budget | {"source": source, "per_model_usage": [_shown(used) for used in usage]}


def _of_single_models(model_configs: Iterator[Document]) -> Iterator[Document]:
    for config in model_configs:
        if config["model_name"] != "*":
            kept = ("model_name", "provider", "budgets", "rate_limit", "rate_limits")
            yield {name: config[name] for name in kept if name in config}


def _shown(used: ModelUsage) -> Document:
    return {
        "model": used.model,
        "provider": used.provider,
        "total_requests": used.total_requests,
        "total_tokens": used.total_tokens,
        "total_cost": Raw(nanousd_to_json(used.total_cost_nanousd)),
    }


def _instant(text: str) -> datetime:
    return msgspec.convert(text, datetime).astimezone(UTC)


def _decode(body: bytes) -> Document:
    document: Document = msgspec.json.decode(body)
    return document
