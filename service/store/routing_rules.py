"""Routing rules: lists of them, and what is written."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from service.domain.routing import Destination, RuleScope, Target
from service.store.lists import IdPage
from service.store.postgres import Connection
from service.store.queries import queries
from service.store.trees import Row

_DOCUMENTS = ("targets", "fallbacks", "query")
_OWNERS: tuple[RuleScope, ...] = ("customer", "team", "virtual_key")


class RoutingRuleQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Rules of a scope, whose name contains `search` (any case); `limit` None is all of them."""

    scope: RuleScope | None = None
    scope_id: str | None = None
    search: str | None = None
    limit: int | None = None
    offset: int = 0


class RoutingRuleColumns(msgspec.Struct, frozen=True, kw_only=True):
    """What of a rule is written; `scope_id` is the id of a customer, team or virtual key, as `scope` says."""

    name: str
    description: str = ""
    enabled: bool = True
    chain_rule: bool = False
    cel_expression: str = ""
    targets: Sequence[Target] = ()
    fallbacks: Sequence[str | Destination] = ()
    query: dict[str, Any] | None = None
    scope: RuleScope = "global"
    scope_id: str | None = None
    priority: int = 0
    ttft_timeout_ms: int | None = None


async def list_routing_rule_ids(connection: Connection, query: RoutingRuleQuery) -> IdPage:
    """The lowest priority first."""
    narrowed = msgspec.structs.asdict(query)
    limit, offset = narrowed.pop("limit"), narrowed.pop("offset")
    rows = queries.list_routing_rule_ids(connection, page_limit=limit, page_offset=offset, **narrowed)
    page = [row async for row in rows]
    total_count = page[0]["total_count"] if page else await queries.count_routing_rules(connection, **narrowed)
    return IdPage([row["id"] for row in page], total_count)


async def load_routing_rules(connection: Connection, ids: Sequence[str]) -> list[Row]:
    return [row async for row in queries.list_shown_routing_rules(connection, rule_ids=ids)]


async def lock_routing_rule(connection: Connection, rule_id: str) -> RoutingRuleColumns | None:
    """What a change starts from; nobody else changes it until the transaction ends."""
    row = await queries.lock_routing_rule(connection, rule_id=rule_id)
    if row is None:
        return None
    documents = {name: None if row[name] is None else msgspec.json.decode(row[name]) for name in _DOCUMENTS}
    return msgspec.convert(dict(row) | documents, RoutingRuleColumns)


async def insert_routing_rule(connection: Connection, rule_id: str, rule: RoutingRuleColumns, *, now: datetime) -> None:
    await queries.insert_routing_rule(connection, rule_id=rule_id, created_at=now, **_encoded(rule))


async def update_routing_rule(connection: Connection, rule_id: str, rule: RoutingRuleColumns) -> None:
    await queries.update_routing_rule(connection, rule_id=rule_id, **_encoded(rule))


async def delete_routing_rule(connection: Connection, rule_id: str) -> None:
    await queries.delete_routing_rule(connection, rule_id=rule_id)


def _encoded(rule: RoutingRuleColumns) -> Mapping[str, Any]:
    columns = msgspec.structs.asdict(rule)
    scope, scope_id = columns.pop("scope"), columns.pop("scope_id")
    owner = {f"{kind}_id": scope_id if kind == scope else None for kind in _OWNERS}
    given = {name: columns[name] for name in _DOCUMENTS}
    documents = {name: None if value is None else msgspec.json.encode(value) for name, value in given.items()}
    return columns | owner | documents
