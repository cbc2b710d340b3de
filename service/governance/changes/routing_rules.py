"""Changes of routing rules."""

from typing import Any

import msgspec
from msgspec import UNSET

from service.domain.inputs.routing import (
    RoutingRuleCreate,
    RoutingRuleInput,
    RoutingRuleUpdate,
    check_condition,
    check_name,
    check_query,
    check_scope,
    checked_targets,
    fallbacks_of,
)
from service.domain.refusals import not_found
from service.governance.catalogue import show_routing_rules
from service.governance.changes.change import Change, new_id
from service.governance.changes.edit import EntityKind, begin_edit, finish_creation, finish_edit, finish_removal
from service.governance.changes.given import merged
from service.store.routing_rules import (
    RoutingRuleColumns,
    delete_routing_rule as delete_row,
    insert_routing_rule,
    lock_routing_rule,
    update_routing_rule as update_row,
)

ROUTING_RULE = EntityKind("routing_rule", "Routing rule", show_routing_rules)
_NULLABLE = frozenset({"query", "scope_id", "ttft_timeout_ms"})


async def create_routing_rule(change: Change, given: RoutingRuleCreate) -> bytes:
    """Answers the rule's JSON. Raises RefusedError."""
    required = RoutingRuleColumns(name=check_name(given.name), targets=checked_targets(given.targets))
    rule_id = new_id()
    await insert_routing_rule(change.connection, rule_id, _merged(required, given), now=change.now)
    return await finish_creation(change, ROUTING_RULE, rule_id)


async def update_routing_rule(change: Change, rule_id: str, given: RoutingRuleUpdate) -> bytes:
    """Another `scope` needs a `scope_id` of its own. Raises RefusedError."""
    columns = await _lock(change, rule_id)
    before = await begin_edit(change, ROUTING_RULE, rule_id)
    if given.scope not in (UNSET, None, columns.scope):
        columns = msgspec.structs.replace(columns, scope_id=None)
    await update_row(change.connection, rule_id, _merged(columns, given))
    return await finish_edit(change, ROUTING_RULE, before)


async def delete_routing_rule(change: Change, rule_id: str) -> None:
    """Raises RefusedError."""
    await _lock(change, rule_id)
    before = await begin_edit(change, ROUTING_RULE, rule_id)
    await delete_row(change.connection, rule_id)
    await finish_removal(change, ROUTING_RULE, before)


def _merged(columns: RoutingRuleColumns, given: RoutingRuleInput) -> RoutingRuleColumns:
    """The rule as it will be, held to what its types do not say."""
    new = merged(columns, given, nullable=_NULLABLE)
    check_name(new.name)
    check_condition(new.cel_expression)
    held: dict[str, Any] = {
        "scope_id": check_scope(new.scope, new.scope_id),
        "ttft_timeout_ms": new.ttft_timeout_ms or None,
    }
    if given.targets is not UNSET:
        held["targets"] = checked_targets(given.targets)
    if given.fallbacks is not UNSET:
        held["fallbacks"] = fallbacks_of(given.fallbacks)
    if new.query is not None:
        check_query(new.query)
    return msgspec.structs.replace(new, **held)


async def _lock(change: Change, rule_id: str) -> RoutingRuleColumns:
    columns = await lock_routing_rule(change.connection, rule_id)
    if columns is None:
        raise not_found("Routing rule not found")
    return columns
