"""What an import writes, and what it leaves: the two modes, usage, ids, values and the audit log."""

from typing import Any

import pytest

from service.domain.config_file.findings import FaultyFileError
from service.domain.sealing import Sealer
from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.conftest import Clock, TestApi
from tests.demo.trees import count_rows, whole_content
from tests.factories import Factory, meter_of_budget, usage_event
from tests.governance.config_files import Files, acme, governance
from tests.reading import CUSTOMERS

MONTHLY = {"id": "monthly", "max_limit": 10, "reset_duration": "1M", "customer_id": "acme"}
RATE = {"id": "rate", "token_max_limit": 5, "token_reset_duration": "1h"}
EVERYTHING: dict[str, Any] = {
    "providers": {"openai": {"keys": [{"name": "first", "value": "env.OPENAI_API_KEY", "models": ["*"]}]}},
    "mcp": {"client_configs": [{"name": "tools", "connection_string": "https://mcp.example.com/"}]},
    "governance": {
        "budgets": [MONTHLY, {"id": "of-team", "max_limit": 3, "reset_duration": "1d", "team_id": "ml"}],
        "rate_limits": [RATE, {"id": "rule", "request_max_limit": 9, "request_reset_duration": "1m"}],
        "customers": [acme(rate_limit_id="rate")],
        "teams": [{"id": "ml", "name": "ML", "customer_id": "acme", "profile": {"tier": "gold"}}],
        "virtual_keys": [
            {
                "id": "vk",
                "name": "ci",
                "value": "env.CI_KEY",
                "team_id": "ml",
                "provider_configs": [{"provider": "openai", "allowed_models": ["*"], "key_ids": ["first"]}],
                "mcp_configs": [{"mcp_client_name": "tools", "tools_to_execute": ["*"]}],
            }
        ],
        "model_configs": [{"id": "mc", "model_name": "gpt-4o", "provider": "openai", "rate_limit_ids": ["rule"]}],
        "providers": [{"name": "anthropic", "budget_id": "of-anthropic"}],
        "pricing_overrides": [
            {"id": "po", "name": "cheaper", "scope_kind": "global", "match_type": "exact", "pattern": "gpt-4o"}
        ],
    },
}
EVERYTHING["governance"]["budgets"].append({"id": "of-anthropic", "max_limit": 7, "reset_duration": "1w"})
VALUE = "sk-bf-of-the-environment"


@pytest.fixture
def files(connection: Connection, sealer: Sealer, clock: Clock) -> Files:
    return Files(connection, sealer, clock)


async def load_everything(files: Files, **options: Any) -> list[str]:
    return await files.changes(EVERYTHING, environment={"CI_KEY": VALUE}, **options)


async def edit(api: TestApi, path: str, **fields: Any) -> None:
    response = await api.put(f"/api/governance/{path}", json=fields)
    assert response.status == 200, await response.text()


async def customer(api: TestApi, customer_id: str = "acme") -> Any:
    return (await (await api.get(f"{CUSTOMERS}/{customer_id}")).json())["customer"]


async def test_every_kind_of_entry_is_made_under_its_id(files: Files, api: TestApi) -> None:
    assert await load_everything(files) == [
        "+ provider_key first",
        "+ mcp_client tools",
        '+ customer acme  "Acme"',
        '+ team ml  "ML"',
        '+ virtual_key vk  "ci"',
        "+ model_config mc",
        "+ provider anthropic",
        '+ pricing_override po  "cheaper"',
    ]
    made = await customer(api)
    assert (made["budget_id"], made["rate_limit_id"]) == ("monthly", "rate")
    (team,) = made["teams"]
    assert (team["id"], team["budgets"][0]["id"], team["profile"]) == ("ml", "of-team", {"tier": "gold"})
    (key,) = team["virtual_keys"]
    assert (key["id"], key["value"], key["keys"][0]["name"]) == ("vk", VALUE, "first")
    assert len(made["config_hash"]) == len(key["config_hash"]) == 64
    (model_config,) = (await (await api.get("/api/governance/model-configs?search=gpt")).json())["model_configs"]
    assert [(rule["id"], rule["metric"]) for rule in model_config["rate_limits"]] == [("rule", "requests")]
    (provider,) = (await (await api.get("/api/governance/providers")).json())["providers"]
    assert (provider["provider"], provider["budgets"][0]["id"]) == ("anthropic", "of-anthropic")


async def test_a_dry_run_says_the_same_and_changes_nothing(files: Files, connection: Connection) -> None:
    before = await whole_content(connection)
    said = await load_everything(files, dry_run=True)
    assert await whole_content(connection) == before
    assert await load_everything(files) == said


async def test_a_second_import_touches_nothing(files: Files, connection: Connection) -> None:
    await load_everything(files)
    before = await whole_content(connection)
    for mode in ("split", "source-of-truth"):
        assert await load_everything(files, mode=mode) == []
    assert await whole_content(connection) == before


async def test_split_leaves_an_edited_row_alone_while_its_entry_is_the_same(files: Files, api: TestApi) -> None:
    document = governance(customers=[acme()], budgets=[MONTHLY])
    await files.load(document)
    await edit(
        api, "customers/acme", name="Edited", budgets=[{"id": "monthly", "max_limit": 99, "reset_duration": "1M"}]
    )
    assert await files.changes(document) == []
    assert (await customer(api))["name"] == "Edited"
    changed = governance(customers=[acme(max_parallel_requests=4)], budgets=[MONTHLY])
    (said,) = await files.changes(changed)
    assert said.split("  ")[1].split(", ") == [
        'name: "Edited" → "Acme"',
        "max_parallel_requests: null → 4",
        "budgets[monthly].max_limit: 99.0 → 10.0",
    ]


async def test_another_limit_is_another_entry(files: Files) -> None:
    await files.load(governance(customers=[acme()], budgets=[MONTHLY]))
    changed = governance(customers=[acme()], budgets=[MONTHLY | {"max_limit": 11}])
    assert await files.changes(changed) == ["~ customer acme  budgets[monthly].max_limit: 10.0 → 11.0"]


async def test_a_changed_entry_keeps_usage_and_creation(
    files: Files, api: TestApi, connection: Connection, clock: Clock
) -> None:
    await files.load(governance(customers=[acme()], budgets=[MONTHLY]))
    tenant_id, meter = await meter_of_budget(connection, "monthly")
    await record_usage(connection, [usage_event("used", (tenant_id, meter, 2_000_000_000), at=clock())])
    before = await customer(api)
    await files.load(governance(customers=[acme(name="New")], budgets=[MONTHLY | {"reset_duration": "1w"}]))
    after = await customer(api)
    assert (after["name"], after["budget"]["reset_duration"]) == ("New", "1w")
    assert (after["created_at"], after["budget"]["current_usage"]) == (before["created_at"], 2)


async def test_split_keeps_rows_and_limits_only_the_database_has(
    files: Files, make: Factory, connection: Connection, api: TestApi
) -> None:
    await files.load(governance(customers=[acme()], budgets=[MONTHLY], rate_limits=[]))
    await make.customer(id="other")
    await make.budget(id="daily", customer_id="acme", position=5)
    await make.rate_limit(id="by-hand", customer_id="acme")
    await files.load(governance(customers=[acme(name="New")], budgets=[MONTHLY], rate_limits=[]))
    assert [budget["id"] for budget in (await customer(api))["budgets"]] == ["monthly", "daily"]
    assert (await customer(api))["rate_limit_id"] == "by-hand"
    assert await count_rows(connection, "customers") == 2


async def test_the_source_of_truth_reverts_edits_and_deletes_what_it_has_not(
    files: Files, make: Factory, api: TestApi, connection: Connection
) -> None:
    document = governance(customers=[acme()], budgets=[MONTHLY], rate_limits=[]) | {"source_of_truth": "config.json"}
    await files.load(document)
    await edit(api, "customers/acme", name="Edited")
    await make.customer(id="other")
    await make.team(id="team")
    await make.budget(id="daily", customer_id="acme")
    await make.budget(id="of-team", team_id="team")
    assert await files.changes(document) == [
        "- customer other",
        '~ customer acme  name: "Edited" → "Acme", budgets: ["monthly","daily"] → ["monthly"]',
        "- budget of-team  of team team",
    ]
    assert await count_rows(connection, "teams") == 1, "a section that is not in the file is left alone"


async def test_an_empty_section_of_the_source_of_truth_deletes_all(
    files: Files, connection: Connection, make: Factory
) -> None:
    await load_everything(files)
    empty: dict[str, Any] = {name: [] for name in EVERYTHING["governance"]}
    nothing = {"providers": {}, "mcp": {"client_configs": []}, "governance": empty}
    assert await files.changes(nothing) == [], "not in split mode"
    said = await files.changes(nothing, mode="source-of-truth")
    assert [line.split()[:2] for line in said] == [
        ["-", kind]
        for kind in (
            *("pricing_override", "provider", "model_config", "virtual_key", "team", "customer"),
            *("mcp_client", "provider_key"),
        )
    ]
    for table in ("customers", "teams", "virtual_keys", "budgets", "rate_limits", "provider_keys", "mcp_clients"):
        assert await count_rows(connection, table) == 0


async def test_only_sections_that_are_there_are_the_source_of_truth(files: Files, connection: Connection) -> None:
    await load_everything(files)
    before = await whole_content(connection)
    documents: tuple[Any, ...] = ({}, {"governance": {}}, {"governance": {"customers": None}})
    for document in (*documents, {"providers": {"openai": {}}}):
        assert await files.changes(document, mode="source-of-truth") == []
    assert await whole_content(connection) == before


async def test_the_hash_of_an_otherwise_equal_row_is_no_change(files: Files, make: Factory, api: TestApi) -> None:
    await make.customer(id="acme", name="Acme")
    outcome = await files.load(governance(customers=[acme()]))
    assert (outcome.lines, outcome.unchanged) == ([], 1)
    assert (await customer(api))["config_hash"] != ""


async def test_changes_are_in_the_audit_log_by_the_name_of_the_file(files: Files, connection: Connection) -> None:
    await load_everything(files)
    document = governance(teams=[{"id": "ml", "name": "ML", "time_zone": "Asia/Tokyo", "claims": {"a": 1}}])
    await files.load(document)
    rows = await connection.fetch("SELECT actor, action, changes FROM audit_log ORDER BY id")
    assert {row["actor"] for row in rows} == {"config file"}
    assert [row["action"] for row in rows][:3] == ["provider_key.create", "mcp_client.create", "customer.create"]
    told = b"".join(bytes(row["changes"]) for row in rows if row["action"] == "team.update").decode()
    for field in ("time_zone", "claims", "customer_id", "profile"):
        assert f'"{field}"' in told
    assert VALUE not in "".join(bytes(row["changes"]).decode() for row in rows)


async def test_a_value_is_written_once_and_replaced_by_another(
    files: Files, connection: Connection, sealer: Sealer
) -> None:
    def document(value: str | None) -> Any:
        return governance(virtual_keys=[{"id": "vk", "name": "ci", "value": value}])

    hashed = "SELECT value_hash FROM virtual_keys"
    await files.load(document(VALUE))
    assert await connection.fetchval(hashed) == sealer.hash_virtual_key(VALUE)
    assert await files.changes(document(None), mode="source-of-truth") == []
    assert await files.changes(document("sk-bf-another-value"), mode="source-of-truth") == [
        "~ virtual_key vk  value: changed"
    ]
    assert await connection.fetchval(hashed) == sealer.hash_virtual_key("sk-bf-another-value")
    assert b"sk-bf-another" not in await connection.fetchval("SELECT value_sealed FROM virtual_keys")


async def test_a_secret_that_is_left_out_stays(files: Files, connection: Connection) -> None:
    def document(**fields: Any) -> Any:
        return {"providers": {"openai": {"keys": [{"name": "first", **fields}]}}}

    await files.load(document(value="sk-secret", azure_key_config={"endpoint": "e", "client_secret": "s"}))
    sealed = await connection.fetchval("SELECT secrets_sealed FROM provider_keys")
    assert await files.changes(document(azure_key_config={"endpoint": "e"}), mode="source-of-truth") == []
    assert await connection.fetchval("SELECT secrets_sealed FROM provider_keys") == sealed
    assert await files.changes(document(value="sk-other", azure_key_config={"endpoint": "f"})) == [
        "~ provider_key first  value: changed, azure_key_config: changed"
    ]


async def test_a_limit_moves_to_the_owner_the_file_gives_it(files: Files, api: TestApi) -> None:
    globex = {"id": "globex", "name": "Globex"}
    await files.load(governance(customers=[acme(), globex], budgets=[MONTHLY]))
    moved = governance(customers=[acme(), globex], budgets=[MONTHLY | {"customer_id": "globex"}])
    assert (await files.changes(moved))[0] == "- budget monthly  of customer acme"
    assert (await customer(api))["budgets"] == []
    assert (await customer(api, "globex"))["budget_id"] == "monthly"
    assert await files.changes(moved, mode="source-of-truth") == []


async def test_what_the_database_refuses_undoes_all_of_it(files: Files, make: Factory, connection: Connection) -> None:
    await make.customer(id="by-hand", name="Acme")
    before = await whole_content(connection)
    with pytest.raises(FaultyFileError, match=r"governance\.customers\[1\]\.name: A customer with this name"):
        await files.load(governance(customers=[{"id": "other", "name": "Other"}, acme()]))
    assert await whole_content(connection) == before


async def test_what_a_file_names_may_be_in_the_database(files: Files, make: Factory, api: TestApi) -> None:
    await make.customer(id="by-hand", name="Acme")
    await make.provider_key(id="key-1", name="first")
    config = {"provider": "openai", "key_ids": ["key-1"]}
    key = {"id": "vk", "name": "ci", "customer_id": "by-hand", "provider_configs": [config]}
    await files.load(governance(virtual_keys=[key]))
    (made,) = (await customer(api, "by-hand"))["virtual_keys"]
    assert [pinned["id"] for pinned in made["keys"]] == ["key-1"]
    assert await files.changes(governance(virtual_keys=[key]), mode="source-of-truth") == []
    with pytest.raises(FaultyFileError, match=r"\$\.governance\.teams\[0\]\.customer_id: names no customer there is"):
        await files.load(governance(teams=[{"id": "ml", "name": "ML", "customer_id": "nobody"}]))


async def test_entities_are_shown_in_the_order_of_the_file(files: Files, api: TestApi) -> None:
    await files.load(governance(customers=[{"id": name, "name": name} for name in ("c", "a", "b")]))
    shown = (await (await api.get(CUSTOMERS)).json())["customers"]
    assert [one["id"] for one in shown] == ["c", "a", "b"]
