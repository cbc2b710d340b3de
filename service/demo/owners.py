"""The customers and teams of a demo tree. They and the virtual keys are each numbered through the whole tree."""

from service.demo.limits import LimitOwner, limit_rows
from service.demo.names import customer_name, team_name
from service.demo.owner_kinds import CUSTOMER_LIMITS, TEAM_KINDS, TIME_ZONES
from service.demo.rows import CustomerRow, LimitRow, TeamRow, json_column
from service.demo.shape import DemoTree, created_at, demo_id


def customer_id(tree: DemoTree, number: int) -> str:
    return demo_id(tree, number, "customer")


def team_id(tree: DemoTree, number: int) -> str:
    return demo_id(tree, number, "team")


def name_of_customer(tree: DemoTree, number: int) -> str:
    return customer_name(tree.shape.seed, number)


def name_of_team(tree: DemoTree, number: int) -> str:
    customer_number, place = divmod(number, tree.shape.teams)
    return team_name(name_of_customer(tree, customer_number), customer_number=customer_number, number=place)


def customer(tree: DemoTree, number: int) -> tuple[CustomerRow, list[LimitRow]]:
    """A customer with its limits."""
    limits = CUSTOMER_LIMITS[number % len(CUSTOMER_LIMITS)]
    owner = LimitOwner(
        column="customer_id",
        id=customer_id(tree, number),
        number=number,
        created_at=created_at(tree, number * tree.shape.keys_per_customer),
        calendar_aligned=limits.calendar_aligned,
        time_zone=TIME_ZONES[number % len(TIME_ZONES)],
    )
    row = CustomerRow(
        id=customer_id(tree, number),
        name=name_of_customer(tree, number),
        calendar_aligned=owner.calendar_aligned,
        time_zone=owner.time_zone,
        max_parallel_requests=limits.max_parallel_requests,
        created_at=owner.created_at,
        updated_at=owner.created_at,
    )
    return row, list(limit_rows(tree, limits, owner))


def team(tree: DemoTree, number: int) -> tuple[TeamRow, list[LimitRow]]:
    """A team with its limits."""
    kind = TEAM_KINDS[number % len(TEAM_KINDS)]
    owner = LimitOwner(
        column="team_id",
        id=team_id(tree, number),
        number=number,
        created_at=created_at(tree, number * tree.shape.keys),
        calendar_aligned=kind.limits.calendar_aligned,
    )
    row = TeamRow(
        id=team_id(tree, number),
        customer_id=customer_id(tree, number // tree.shape.teams),
        name=name_of_team(tree, number),
        calendar_aligned=owner.calendar_aligned,
        max_parallel_requests=kind.limits.max_parallel_requests,
        profile=json_column(kind.profile),
        config=json_column(kind.config),
        claims=json_column(kind.claims),
        created_at=owner.created_at,
        updated_at=owner.created_at,
    )
    return row, list(limit_rows(tree, kind.limits, owner))
