"""The rules between fields that JSON Schema can say, for the API's document; the `check_…` functions hold inputs to
them.

A rule counts for a type and all types made from it.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from service.domain.inputs.calls import UsageInput
from service.domain.inputs.limits import BudgetInput, LimitsInput, RateLimitInput, SingleBudgetInput
from service.domain.inputs.mcp_clients import McpClientInput
from service.domain.inputs.model_configs import ModelConfigCreate, ModelConfigInput
from service.domain.inputs.pricing import SCOPE_IDS, PricingOverrideCreate
from service.domain.inputs.routing import RoutingRuleCreate, TargetInput
from service.domain.inputs.virtual_keys import OverrideInput, VirtualKeyInput
from service.domain.pricing import SCOPES

Rule = dict[str, Any]

_NULL: Rule = {"type": "null"}
_NONE: Rule = {"enum": [None, ""]}


def _either(*properties: Rule) -> Rule:
    """A field that is left out is as its schema says."""
    return {"anyOf": [{"properties": each} for each in properties]}


def _with_duration(metric: str) -> Rule:
    duration = f"{metric}_reset_duration"
    needed = {"properties": {duration: {"type": "string", "minLength": 1}}, "required": [duration]}
    return {"anyOf": [{"properties": {f"{metric}_max_limit": _NULL}}, needed]}


def _scope(scope_kind: str, needed: Sequence[str]) -> Rule:
    ids = {name: {"type": "string", "minLength": 1} if name in needed else _NONE for name in SCOPE_IDS}
    return {"properties": {"scope_kind": {"const": scope_kind}, **ids}, "required": list(needed)}


def _maximum(metric: str) -> Rule:
    name = f"{metric}_max_limit"
    return {"properties": {name: {"type": "integer"}}, "required": [name]}


_SHADOWED = {"anyOf": [{"properties": {"shadow": _NULL}}, _maximum("token"), _maximum("request")]}
_QUARTERS = _either({"reset_config": _NULL}, {"reset_duration": {"pattern": "^([0-9]{1,9}Q|quarterly)$"}})

RULES: dict[type[msgspec.Struct], tuple[Rule, ...]] = {
    LimitsInput: (_either({"budget": _NULL}, {"budgets": _NULL}),),
    SingleBudgetInput: (_QUARTERS,),
    RateLimitInput: (_with_duration("token"), _with_duration("request"), _SHADOWED),
    BudgetInput: (_QUARTERS,),
    VirtualKeyInput: (_either({"team_id": _NONE}, {"customer_id": _NONE}),),
    ModelConfigInput: (_either({"rate_limit": _NULL}, {"rate_limits": _NULL}),),
    ModelConfigCreate: (
        {
            "anyOf": [
                {"properties": {"scope": {"enum": [None, "global", "user"]}}},
                {"properties": {"scope_id": {"type": "string", "minLength": 1}}, "required": ["scope_id"]},
            ]
        },
    ),
    McpClientInput: (
        _either(
            {"allow_by_default": _NULL},
            {"allow_on_all_virtual_keys": _NULL},
            {"allow_by_default": {"const": True}, "allow_on_all_virtual_keys": {"const": True}},
            {"allow_by_default": {"const": False}, "allow_on_all_virtual_keys": {"const": False}},
        ),
    ),
    PricingOverrideCreate: (
        {"anyOf": [_scope(scope_kind, needed) for scope_kind, needed in SCOPES.items()]},
        _either(
            {"match_type": {"const": "exact"}, "pattern": {"pattern": r"^[^*]+$"}},
            {"match_type": {"const": "wildcard"}, "pattern": {"pattern": r"^[^*]+\*$"}},
        ),
    ),
    UsageInput: (
        {
            "anyOf": [
                {"properties": {name: {"type": "string"}}, "required": [name]}
                for name in ("virtual_key", "virtual_key_id")
            ]
        },
    ),
    TargetInput: (
        {
            "anyOf": [
                {"properties": {"key_id": _NONE}},
                {"properties": {"provider": {"type": "string", "minLength": 1}}, "required": ["provider"]},
            ]
        },
    ),
    RoutingRuleCreate: (
        {"required": ["name", "targets"]},
        {
            "anyOf": [
                {"properties": {"scope": {"enum": [None, "global", "user"]}}},
                {"properties": {"scope_id": {"type": "string", "minLength": 1}}, "required": ["scope_id"]},
            ]
        },
    ),
    OverrideInput: (
        {
            "anyOf": [
                {
                    "properties": {"mode": {"const": "cycles"}, "cycles": {"type": "integer", "minimum": 1}},
                    "required": ["cycles"],
                },
                {"properties": {"mode": {"const": "forever"}, "cycles": {"enum": [None, 0]}}},
            ]
        },
    ),
}


def rules_of(kind: type[msgspec.Struct]) -> list[Rule]:
    """What is said of the type and of those it is made from."""
    return [rule for base in kind.__mro__ for rule in RULES.get(base, ())]
