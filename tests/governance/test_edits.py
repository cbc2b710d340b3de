"""Whatever anyone edits, with psql too, the next read of every replica shows it."""

from collections.abc import Callable
from typing import Any

from service.store.postgres import Connection
from tests.factories import Factory, meter_of_budget
from tests.full_tree import make_full_tree
from tests.governance.using import Replica

Look = Callable[[Any], Any]


def team(customer: Any) -> Any:
    return customer["teams"][0]


def virtual_key(customer: Any) -> Any:
    return customer["virtual_keys"][0]


def config(customer: Any) -> Any:
    return virtual_key(customer)["provider_configs"][0]


# Statement, where to look, and what is seen there after it.
EDITS: tuple[tuple[str, Look, Any], ...] = (
    ("UPDATE customers SET name = 'Acme 2'", lambda c: c["name"], "Acme 2"),
    ("UPDATE customers SET name = 'Acme 3'", lambda c: team(c)["customer"], {"id": "acme", "name": "Acme 3"}),
    ("UPDATE customers SET calendar_aligned = false", lambda c: c["calendar_aligned"], False),
    ("UPDATE customers SET max_parallel_requests = NULL", lambda c: "max_parallel_requests" in c, False),
    ("UPDATE customers SET config_hash = 'h'", lambda c: c["config_hash"], "h"),
    ("UPDATE teams SET name = 'R 2'", lambda c: team(c)["virtual_keys"][0]["team"]["name"], "R 2"),
    ("UPDATE teams SET profile = '{\"a\": 1}'", lambda c: team(c)["profile"], {"a": 1}),
    ("UPDATE teams SET claims = '{}'", lambda c: team(c)["claims"], {}),
    ("UPDATE virtual_keys SET description = 'new'", lambda c: virtual_key(c)["description"], "new"),
    ("UPDATE virtual_keys SET is_active = false", lambda c: virtual_key(c)["is_active"], False),
    ('UPDATE virtual_keys SET metadata = \'{"k": "v"}\'', lambda c: virtual_key(c)["metadata"], {"k": "v"}),
    ("UPDATE virtual_keys SET expires_at = NULL", lambda c: "expires_at" in virtual_key(c), False),
    ("UPDATE virtual_key_provider_configs SET weight = NULL", lambda c: "weight" in config(c), False),
    (
        "UPDATE virtual_key_provider_configs SET allowed_models = '{a,b}'",
        lambda c: config(c)["allowed_models"],
        ["a", "b"],
    ),
    ("UPDATE provider_keys SET name = 'renamed' WHERE id = 'azure'", lambda c: config(c)["keys"][0]["name"], "renamed"),
    ("UPDATE provider_keys SET models = '{}' WHERE id = 'azure'", lambda c: virtual_key(c)["keys"][0]["models"], []),
    ("DELETE FROM provider_keys WHERE id = 'vertex'", lambda c: len(config(c)["keys"]), 1),
    ("DELETE FROM virtual_key_provider_config_keys", lambda c: virtual_key(c)["keys"], []),
    ("UPDATE mcp_clients SET name = 'm'", lambda c: virtual_key(c)["mcp_configs"][0]["mcp_client_name"], "m"),
    (
        "UPDATE virtual_key_mcp_configs SET tools_to_execute = '{*}'",
        lambda c: virtual_key(c)["mcp_configs"][0]["tools_to_execute"],
        ["*"],
    ),
    ("DELETE FROM mcp_clients", lambda c: virtual_key(c)["mcp_configs"], []),
    ("UPDATE budgets SET max_limit_nanousd = 42000000000", lambda c: c["budget"]["max_limit"], 42),
    ("UPDATE budgets SET position = 9 WHERE id LIKE '%-month'", lambda c: c["budget_id"], "customer_id-acme-quarter"),
    ("DELETE FROM budgets WHERE customer_id = 'acme'", lambda c: c["budgets"], []),
    ("UPDATE rate_limits SET token_max_limit = 5", lambda c: team(c)["rate_limit"]["token_max_limit"], 5),
    ("DELETE FROM rate_limits WHERE team_id IS NOT NULL", lambda c: "rate_limit" in team(c), False),
    ("DELETE FROM virtual_key_provider_configs", lambda c: virtual_key(c)["provider_configs"], []),
    ("DELETE FROM virtual_keys WHERE customer_id IS NOT NULL", lambda c: c["virtual_keys"], []),
    ("UPDATE teams SET customer_id = NULL", lambda c: c["teams"], []),
)


async def test_every_edit_shows_in_the_next_read_of_every_replica(
    replica: Replica, other_replica: Replica, make: Factory, connection: Connection
) -> None:
    await make_full_tree(make)
    for statement, look, seen in EDITS:
        assert look(await replica.customer("acme")) != seen, f"nothing to see before: {statement}"
        await other_replica.read()
        assert await connection.execute(statement) != "UPDATE 0", statement
        assert look(await replica.customer("acme")) == seen, statement
        assert look((await other_replica.read())[0]) == seen, statement


async def test_new_and_deleted_customers_show_in_the_next_read(
    replica: Replica, make: Factory, connection: Connection
) -> None:
    for customer_id in ("a", "b"):
        assert customer_id not in [customer["id"] for customer in await replica.read()]
        await make.customer(id=customer_id)
        assert customer_id in [customer["id"] for customer in await replica.read()]
    await connection.execute("DELETE FROM customers WHERE id = 'a'")
    assert [customer["id"] for customer in await replica.read()] == ["b"]


async def test_a_customer_made_again_under_its_id_shows_nothing_of_the_first(
    replica: Replica, make: Factory, connection: Connection
) -> None:
    await make.customer(id="acme", name="First")
    await replica.book((*await meter_of_budget(connection, await make.budget(id="b", customer_id="acme")), 10**9))
    assert (await replica.customer("acme"))["budget"]["current_usage"] == 1
    await connection.execute("DELETE FROM customers")
    await make.customer(id="acme", name="Second")
    await make.budget(id="another", customer_id="acme")
    customer = await replica.customer("acme")
    assert (customer["name"], customer["budget"]["current_usage"]) == ("Second", 0)


async def test_an_edited_limit_keeps_its_usage(replica: Replica, make: Factory, connection: Connection) -> None:
    await make.customer(id="acme")
    await replica.book((*await meter_of_budget(connection, await make.budget(id="b", customer_id="acme")), 10**9))
    await replica.read()
    await connection.execute("UPDATE budgets SET max_limit_nanousd = 1500000000")
    budget = (await replica.customer("acme"))["budget"]
    assert (float(budget["max_limit"]), budget["current_usage"]) == (1.5, 1)


async def test_a_limit_with_another_period_starts_anew(replica: Replica, make: Factory, connection: Connection) -> None:
    await make.customer(id="acme")
    await replica.book((*await meter_of_budget(connection, await make.budget(id="b", customer_id="acme")), 10**9))
    await replica.read()
    await connection.execute("UPDATE budgets SET reset_duration = '1w'")
    budget = (await replica.customer("acme"))["budget"]
    assert (budget["reset_duration"], budget["current_usage"]) == ("1w", 0)
    await replica.book((*await meter_of_budget(connection, "b"), 2 * 10**9))
    assert (await replica.customer("acme"))["budget"]["current_usage"] == 2


async def usages_of_key(replica: Replica) -> dict[str, list[int]]:
    """Under which customer the only virtual key is shown, with the usage of its budgets."""
    shown = {}
    for customer in await replica.read():
        for key in customer["virtual_keys"] + [key for team in customer["teams"] for key in team["virtual_keys"]]:
            assert customer["id"] not in shown
            shown[customer["id"]] = [int(budget["current_usage"]) for budget in key["budgets"]]
    return shown


async def test_a_moved_key_takes_its_usage_along_there_and_back(
    replica: Replica, make: Factory, connection: Connection
) -> None:
    for customer_id in ("from", "to"):
        await make.customer(id=customer_id)
    await make.virtual_key(id="key", customer_id="from")
    await make.budget(id="b", virtual_key_id="key")
    await replica.book((*await meter_of_budget(connection, "b"), 10**9))
    assert await usages_of_key(replica) == {"from": [1]}
    await connection.execute("UPDATE virtual_keys SET customer_id = 'to'")
    assert await usages_of_key(replica) == {"to": [1]}
    await replica.book((*await meter_of_budget(connection, "b"), 10**9))
    assert await usages_of_key(replica) == {"to": [2]}
    await connection.execute("UPDATE virtual_keys SET customer_id = 'from'")
    assert await usages_of_key(replica) == {"from": [2]}


async def test_a_moved_team_takes_its_keys_and_usage_along(
    replica: Replica, make: Factory, connection: Connection
) -> None:
    for customer_id in ("from", "to"):
        await make.customer(id=customer_id)
    await make.team(id="team", customer_id="from")
    await make.virtual_key(id="key", team_id="team")
    await make.budget(id="b", virtual_key_id="key")
    await make.budget(id="of-team", team_id="team")
    for budget_id in ("b", "of-team"):
        await replica.book((*await meter_of_budget(connection, budget_id), 10**9))
    assert await usages_of_key(replica) == {"from": [1]}
    await connection.execute("UPDATE teams SET customer_id = 'to'")
    assert await usages_of_key(replica) == {"to": [1]}
    moved = (await replica.customer("to"))["teams"][0]
    assert (moved["budget"]["current_usage"], moved["customer_id"]) == (1, "to")


async def test_a_damaged_sealed_value_costs_only_that_value(
    replica: Replica, make: Factory, connection: Connection
) -> None:
    await make.customer(id="acme")
    for name in ("damaged", "moved", "whole"):
        await make.virtual_key(id=name, customer_id="acme", value=f"sk-bf-{name}")
    await connection.execute("UPDATE virtual_keys SET value_sealed = substr(value_sealed, 2) WHERE id = 'damaged'")
    await connection.execute(
        "UPDATE virtual_keys SET value_sealed = (SELECT value_sealed FROM virtual_keys WHERE id = 'whole') "
        "WHERE id = 'moved'"
    )
    values = {key["id"]: key["value"] for key in (await replica.customer("acme"))["virtual_keys"]}
    assert values == {"damaged": "", "moved": "", "whole": "sk-bf-whole"}
