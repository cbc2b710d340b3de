"""A file is checked as a whole: every fault has its path, and nothing is dropped in silence."""

import json
from typing import Any

import pytest

from service.domain.config_file.findings import FaultyFileError
from service.domain.config_file.read import ConfigFile, read_config_file

ACME = {"id": "acme", "name": "Acme"}
MONTHLY = {"id": "monthly", "max_limit": 10, "reset_duration": "1M"}
RATE = {"id": "rate", "token_max_limit": 5, "token_reset_duration": "1h"}
KEY = {"id": "vk", "name": "ci"}


def read(document: Any, **options: Any) -> ConfigFile:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_config_file(content, **({"environment": {}} | options))


def faults(document: Any, **options: Any) -> list[str]:
    with pytest.raises(FaultyFileError) as caught:
        read(document, **options)
    return [str(fault) for fault in caught.value.findings.faults]


def of(**sections: Any) -> dict[str, Any]:
    return {"governance": sections}


def limits_of_two(**second: Any) -> dict[str, Any]:
    return of(customers=[ACME, {"id": "b", "name": "B", **second}], budgets=[MONTHLY | {"customer_id": "acme"}])


FAULTS: tuple[tuple[Any, str], ...] = (
    (b"{", "$: is not a JSON document"),
    (b"\xff", "$: is not a JSON document"),
    (b"[" * 100_000, "$: is not a JSON document"),
    ([], "$: must be an object"),
    ({"governance": []}, "$.governance: must be an object"),
    (of(customers={}), "$.governance.customers: must be a list"),
    (of(customers=[1]), "$.governance.customers[0]: Expected `object`, got `int`"),
    ({"providers": {"openai": {"keys": {}}}}, "$.providers.openai.keys: must be a list"),
    ({"source_of_truth": "file"}, "$.source_of_truth: must be 'split' or 'config.json'"),
    ({"version": 1}, '$.version: must be 2: empty lists allow nothing, and ["*"] allows everything'),
    (of(customers=[{"id": "a"}]), "$.governance.customers[0].name: name is required"),
    (of(customers=[{"name": "a"}]), "$.governance.customers[0].id: id is required"),
    (of(customers=[ACME | {"name": 5}]), "$.governance.customers[0].name: Expected `str`, got `int`"),
    (of(customers=[ACME, ACME | {"name": "B"}]), "$.governance.customers[1].id: is the same as that of $.governance"),
    (of(teams=[ACME, ACME | {"id": "b"}]), "$.governance.teams[1].name: is the same as that of $.governance.teams[0]"),
    (of(budgets=[MONTHLY | {"max_limit": 0}]), "$.governance.budgets[0].max_limit: "),
    (
        of(customers=[ACME], budgets=[MONTHLY | {"reset_duration": "soon", "customer_id": "acme"}]),
        "$.governance.budgets[0].reset_duration: invalid reset duration",
    ),
    (
        of(customers=[ACME], budgets=[MONTHLY | {"alert_thresholds": [80, 80], "customer_id": "acme"}]),
        "$.governance.budgets[0].alert_thresholds[1]: is in the list twice",
    ),
    (of(rate_limits=[{"id": "r", "shadow": True}]), "$.governance.rate_limits[0]: limits neither tokens nor requests"),
    (
        of(rate_limits=[RATE | {"token_reset_duration": None}]),
        "$.governance.rate_limits[0].token_reset_duration: rate limit token reset duration is required",
    ),
    (of(rate_limits=[{"id": "r"}]), "$.governance.rate_limits[0]: limits neither tokens nor requests"),
    (
        of(rate_limits=[RATE | {"metric": "requests"}]),
        "$.governance.rate_limits[0].metric: a rate limit of requests limits these and nothing else",
    ),
    (
        of(budgets=[MONTHLY | {"team_id": "gone"}]),
        "$.governance.budgets[0].team_id: names no team of this file",
    ),
    (
        of(budgets=[MONTHLY | {"provider_config_id": 7}]),
        "$.governance.budgets[0].provider_config_id: names no provider config of this file",
    ),
    (of(customers=[ACME | {"budget_id": "b"}]), "$.governance.customers[0].budget_id: names no budget of this file"),
    (
        of(virtual_keys=[KEY | {"provider_configs": [{"provider": "openai", "rate_limit_id": "r"}]}]),
        "$.governance.virtual_keys[0].provider_configs[0].rate_limit_id: names no rate limit of this file",
    ),
    (
        limits_of_two(budget_ids=["monthly"]),
        "$.governance.budgets[0].customer_id: 'monthly' has another owner already: $.governance.customers[1]",
    ),
    (
        of(customers=[ACME], teams=[KEY], budgets=[MONTHLY | {"customer_id": "acme", "team_id": "vk"}]),
        "$.governance.budgets[0].team_id: 'monthly' has another owner already: $.governance.budgets[0].customer_id",
    ),
    (
        of(customers=[ACME | {"budget_ids": ["monthly", "b"]}], budgets=[MONTHLY, MONTHLY | {"id": "b"}]),
        "$.governance.budgets[1].reset_duration: duplicate reset_duration in budgets",
    ),
    (
        of(customers=[ACME | {"rate_limit_id": "rate"}], rate_limits=[RATE | {"metric": "tokens"}]),
        "$.governance.customers[0]: rate limit 'rate' has a metric: only model configs have rules of one metric",
    ),
    (
        of(model_configs=[{"id": "m", "model_name": "x", "rate_limit_id": "rate", "rate_limit_ids": ["rate"]}]),
        "$.governance.model_configs[0].rate_limit_ids: only one of rate_limit_id or rate_limit_ids may be set",
    ),
    (
        of(model_configs=[{"id": "m", "model_name": "x", "scope": "virtual_key"}]),
        "$.governance.model_configs[0].scope_id: scope_id is required for scope 'virtual_key'",
    ),
    (
        of(model_configs=[{"id": "m", "model_name": "*", "provider": "openai"}], providers=[{"name": "openai"}]),
        "$.governance.model_configs[0].provider: has its limits in $.governance.providers[0] already",
    ),
    (
        of(virtual_keys=[KEY | {"team_id": "t", "customer_id": "c"}]),
        "$.governance.virtual_keys[0].customer_id: a virtual key belongs to a team or a customer, not to both",
    ),
    (
        of(virtual_keys=[KEY | {"provider_configs": [{"provider": "a", "allowed_models": ["*", "b"]}]}]),
        "$.governance.virtual_keys[0].provider_configs[0].allowed_models[0]: '*' means everything: it stands alone",
    ),
    (
        of(virtual_keys=[KEY | {"value": "env.NOT_SET"}]),
        "$.governance.virtual_keys[0].value: the environment variable NOT_SET is not set",
    ),
    (of(virtual_keys=[KEY | {"value": "short"}]), "$.governance.virtual_keys[0].value: must be 8 to 255 visible"),
    (
        of(budgets=[MONTHLY | {"override_mode": "cycles", "override_amount": 1}]),
        "$.governance.budgets[0].override_mode: 'cycles' needs",
    ),
    (
        {"mcp": {"client_configs": [{"name": "m", "connection_string": "ftp://x"}]}},
        "$.mcp.client_configs[0].connection_string: must be an http or https URL",
    ),
    (
        of(pricing_overrides=[KEY | {"scope_kind": "provider", "match_type": "exact", "pattern": "x"}]),
        "$.governance.pricing_overrides[0].provider_id: provider_id is required for provider scope_kind",
    ),
)


@pytest.mark.parametrize(("document", "fault"), FAULTS, ids=[fault for _, fault in FAULTS])
def test_a_fault_is_named_by_its_path(document: Any, fault: str) -> None:
    assert [found for found in faults(document) if found.startswith(fault)], faults(document)


def test_all_faults_are_told_at_once() -> None:
    document = of(customers=[ACME | {"budget_id": "x"}, ACME], budgets=[MONTHLY | {"reset_duration": "soon"}])
    assert len(faults(document)) == 4  # id and name twice, the budget named, the duration


def test_no_fault_repeats_a_secret() -> None:
    document = of(virtual_keys=[KEY | {"value": "tiny"}, {"id": "b", "name": "b", "value": "env.B"}])
    told = "\n".join(faults(document, environment={"B": "a b"}))
    assert "tiny" not in told
    assert "a b" not in told


def test_under_a_source_of_truth_nothing_refers_to_what_it_deletes() -> None:
    document = of(customers=[], teams=[{"id": "t", "name": "T", "customer_id": "stored"}])
    assert [reference.name for reference in read(document).outside] == ["stored"]
    path = "$.governance.teams[0].customer_id: names no customer there is"
    assert faults(document, mode="source-of-truth") == [path]


WARNINGS: tuple[tuple[Any, str], ...] = (
    (of(routing_rules=[1, 2]), "$.governance.routing_rules: is no part of this service: left out (2 entries)"),
    (of(virtual_key=[]), "$.governance.virtual_key: is no part of this service: left out (0 entries); did you mean"),
    ({"client": {"a": 1}}, "$.client: is no part of this service: left out (1 entry)"),
    ({"providers": {"openai": {"network_config": {}}}}, "$.providers.openai.network_config: is no part of this"),
    (
        of(customers=[ACME | {"bugdet_id": "x"}]),
        "$.governance.customers[0].bugdet_id: unknown field 'bugdet_id' was ignored; did you mean 'budget_id'?",
    ),
    (of(budgets=[MONTHLY]), "$.governance.budgets[0]: belongs to nobody, and limits nothing: left out"),
)


@pytest.mark.parametrize(("document", "warning"), WARNINGS, ids=[warning for _, warning in WARNINGS])
def test_what_is_not_used_is_warned_of(document: Any, warning: str) -> None:
    (found,) = map(str, read(document).warnings)
    assert found.startswith(warning)


def test_null_is_as_good_as_left_out() -> None:
    key = KEY | {"is_active": None, "metadata": None, "provider_configs": [{"provider": "a", "weight": None}]}
    file = read({"governance": {"virtual_keys": [key], "customers": None}, "mcp": None, "providers": None})
    assert [entity.entry.is_active for entity in file.entities["virtual_key"]] == [True]
    assert list(file.entities) == ["virtual_key"]
