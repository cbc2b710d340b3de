"""The virtual keys of a demo tree, and what each may reach."""

from collections.abc import Iterator
from datetime import timedelta

import msgspec

from service.demo.catalogue_rows import provider_key_id
from service.demo.limits import LimitOwner, limit_rows
from service.demo.names import virtual_key_name
from service.demo.owners import customer_id, name_of_customer, name_of_team, team_id
from service.demo.plans import ProviderPlan, VirtualKeyKind
from service.demo.rows import (
    LimitRow,
    McpConfigRow,
    PinnedProviderKeyRow,
    ProviderConfigRow,
    VirtualKeyRow,
    json_column,
)
from service.demo.shape import DemoShape, DemoTree, created_at, demo_id, virtual_key_value
from service.demo.virtual_key_kinds import CUSTOMER_VIRTUAL_KEY_KINDS, VIRTUAL_KEY_KINDS
from service.domain.sealing import sealed_virtual_key

# Of every eight virtual keys of a customer the sixth hangs on the customer itself.
_OWN_KEY_EVERY = 8
_OWN_KEY_PLACE = 5


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a virtual key hangs: on the customer itself when `team_number` is None.

    `repeat` counts the earlier virtual keys of its kind there.
    """

    kind: VirtualKeyKind
    customer_number: int
    team_number: int | None
    repeat: int


class VirtualKeyRows(msgspec.Struct, kw_only=True):
    """A virtual key with all that hangs on it; `limits` are its own and those of its provider configs."""

    row: VirtualKeyRow
    limits: list[LimitRow]
    provider_configs: list[ProviderConfigRow] = []
    pinned_provider_keys: list[PinnedProviderKeyRow] = []
    mcp_configs: list[McpConfigRow] = []


def place_of(shape: DemoShape, number: int) -> Place:
    customer_number, place_in_customer = divmod(number, shape.keys_per_customer)
    own_number, place_in_eight = divmod(place_in_customer, _OWN_KEY_EVERY)
    if place_in_eight == _OWN_KEY_PLACE:
        repeat, kind_number = divmod(own_number, len(CUSTOMER_VIRTUAL_KEY_KINDS))
        return Place(
            kind=CUSTOMER_VIRTUAL_KEY_KINDS[kind_number],
            customer_number=customer_number,
            team_number=None,
            repeat=repeat,
        )
    team_number, place_in_team = divmod(number, shape.keys)
    return Place(
        kind=VIRTUAL_KEY_KINDS[number % len(VIRTUAL_KEY_KINDS)],
        customer_number=customer_number,
        team_number=team_number,
        repeat=place_in_team // len(VIRTUAL_KEY_KINDS),
    )


def virtual_key(tree: DemoTree, number: int, provider_config_ids: Iterator[int]) -> VirtualKeyRows:
    """Virtual key `number`; takes an id for each provider of its kind."""
    place = place_of(tree.shape, number)
    row = _virtual_key_row(tree, number, place)
    owner = LimitOwner(
        column="virtual_key_id",
        id=row.id,
        number=number,
        created_at=row.created_at,
        calendar_aligned=row.calendar_aligned,
    )
    made = VirtualKeyRows(row=row, limits=list(limit_rows(tree, place.kind.limits, owner)))
    for plan, config_id in zip(place.kind.providers, provider_config_ids, strict=False):
        _add_provider_config(tree, plan, made, owner=owner, config_id=config_id)
    for client, tools in place.kind.mcp_tools.items():
        made.mcp_configs.append(
            McpConfigRow(
                virtual_key_id=row.id,
                mcp_client_id=tree.mcp_client_ids[client],
                tools_to_execute=tools,
            )
        )
    return made


def _virtual_key_row(tree: DemoTree, number: int, place: Place) -> VirtualKeyRow:
    kind, days = place.kind, place.kind.expires_in_days
    value = virtual_key_value(tree, number)
    virtual_key_id = demo_id(tree, number, "virtual key")
    made_at = created_at(tree, number)
    is_own = place.team_number is None
    return VirtualKeyRow(
        id=virtual_key_id,
        team_id=None if place.team_number is None else team_id(tree, place.team_number),
        customer_id=customer_id(tree, place.customer_number) if is_own else None,
        name=virtual_key_name(_owner_name(tree, place), kind.purpose, repeat=place.repeat),
        description=kind.description,
        value_hash=tree.sealer.hash_virtual_key(value),
        value_sealed=tree.sealer.seal(value, belongs_to=sealed_virtual_key(virtual_key_id)),
        is_active=kind.is_active,
        expires_at=None if days is None else tree.now + timedelta(days=days),
        delete_after_expire=kind.delete_after_expire,
        disable_content_logging=kind.disable_content_logging,
        calendar_aligned=kind.limits.calendar_aligned,
        allow_all_providers=kind.allow_all_providers,
        max_parallel_requests=kind.limits.max_parallel_requests,
        metadata=json_column(kind.metadata),
        created_by_user_id=kind.created_by_user_id,
        created_at=made_at,
        updated_at=made_at,
    )


def _owner_name(tree: DemoTree, place: Place) -> str:
    if place.team_number is None:
        return name_of_customer(tree, place.customer_number)
    return name_of_team(tree, place.team_number)


def _add_provider_config(
    tree: DemoTree, plan: ProviderPlan, made: VirtualKeyRows, *, owner: LimitOwner, config_id: int
) -> None:
    made.provider_configs.append(
        ProviderConfigRow(
            id=config_id,
            virtual_key_id=made.row.id,
            provider=plan.provider,
            weight=plan.weight,
            allowed_models=plan.models,
            blacklisted_models=plan.blacklisted_models,
            allow_all_keys=not plan.provider_keys,
        )
    )
    made.pinned_provider_keys += [
        PinnedProviderKeyRow(provider_config_id=config_id, provider_key_id=provider_key_id(tree, name))
        for name in plan.provider_keys
    ]
    config_owner = msgspec.structs.replace(owner, column="provider_config_id", id=config_id, provider=plan.provider)
    made.limits += limit_rows(tree, plan.limits, config_owner)
