"""The governance tree twice in one form: as the rows have it, and as the API shows it."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from service.store.postgres import Connection

RATE_LIMIT_FIELDS = (
    *("id", "token_max_limit", "token_reset_duration"),
    *("request_max_limit", "request_reset_duration"),
)


class Node(msgspec.Struct, frozen=True, order=True):
    """An owner with what is its own; limits in their order, children sorted."""

    id: str
    name: str
    calendar_aligned: bool
    budgets: list[tuple[str, float, str]]
    rate_limit: tuple[str, ...] | None
    teams: list["Node"] = []
    virtual_keys: list["Node"] = []


class Forest(msgspec.Struct, frozen=True):
    """Customers with their trees; all teams and all virtual keys by themselves, each with its owner's id."""

    customers: list[Node]
    teams: list[tuple[Node, str | None]]
    virtual_keys: list[tuple[Node, str | None, str | None]]


async def forest_of_rows(connection: Connection) -> Forest:
    nodes = {table: await _nodes(connection, table) for table in ("customers", "teams", "virtual_keys")}
    teams = [(node, row["customer_id"]) for row, node in nodes["teams"]]
    keys = [(node, row["customer_id"], row["team_id"]) for row, node in nodes["virtual_keys"]]

    def keys_of(team_id: str) -> list[Node]:
        return [key for key, _, owner in keys if owner == team_id]

    def whole(customer: Node) -> Node:
        own_teams = [team for team, owner in teams if owner == customer.id]
        return msgspec.structs.replace(
            customer,
            teams=[msgspec.structs.replace(team, virtual_keys=keys_of(team.id)) for team in own_teams],
            virtual_keys=[key for key, owner, _ in keys if owner == customer.id],
        )

    return Forest([whole(node) for _, node in nodes["customers"]], teams, keys)


def forest_of_answers(customers: Any, teams: Any, virtual_keys: Any) -> Forest:
    """From the three lists as they are answered."""
    return Forest(
        _shown_all(customers),
        sorted((_shown(team), team.get("customer_id")) for team in teams),
        sorted(
            ((_shown(key), key.get("customer_id"), key.get("team_id")) for key in virtual_keys), key=lambda key: key[0]
        ),
    )


async def _nodes(connection: Connection, table: str) -> list[tuple[Any, Node]]:
    """Each row with its node, in the order of ids."""
    owner = f"{table.removesuffix('s')}_id"
    budgets = _by_owner(
        await connection.fetch(f"SELECT * FROM budgets WHERE {owner} IS NOT NULL ORDER BY position"), owner, _budget
    )
    limits = _by_owner(
        await connection.fetch(f"SELECT * FROM rate_limits WHERE {owner} IS NOT NULL"), owner, _rate_limit
    )
    rows = await connection.fetch(f'SELECT * FROM {table} ORDER BY id COLLATE "C"')
    return [
        (
            row,
            Node(
                row["id"],
                row["name"],
                row["calendar_aligned"],
                budgets.get(row["id"], []),
                next(iter(limits.get(row["id"], [])), None),
            ),
        )
        for row in rows
    ]


def _by_owner(rows: Iterable[Any], owner: str, convert: Callable[[Any], Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row[owner], []).append(convert(row))
    return found


def _budget(row: Any) -> tuple[str, float, str]:
    return row["id"], row["max_limit_nanousd"] / 1e9, row["reset_duration"]


def _rate_limit(row: Any) -> tuple[str, ...]:
    return tuple(str(row[field]) for field in RATE_LIMIT_FIELDS)


def _shown_all(entities: Any) -> list[Node]:
    return sorted(map(_shown, entities))


def _shown(entity: Any) -> Node:
    rate_limit = entity.get("rate_limit")
    return Node(
        entity["id"],
        entity["name"],
        entity["calendar_aligned"],
        [(budget["id"], budget["max_limit"], budget["reset_duration"]) for budget in entity["budgets"]],
        rate_limit and tuple(str(rate_limit.get(field)) for field in RATE_LIMIT_FIELDS),
        _shown_all(entity.get("teams", [])),
        _shown_all(entity.get("virtual_keys", [])),
    )
