"""Customers and teams as a client asks for them."""

from msgspec import UNSET, UnsetType

from service.domain.inputs.fields import Name, OwnerId
from service.domain.inputs.limits import OwnerInput


class CustomerCreate(OwnerInput, frozen=True, kw_only=True):
    name: Name


class CustomerUpdate(OwnerInput, frozen=True, kw_only=True):
    """`reset_budget_usage` starts the customer's budgets again at zero, in the windows they are in."""

    name: Name | UnsetType = UNSET
    reset_budget_usage: bool = False


class TeamCreate(OwnerInput, frozen=True, kw_only=True):
    name: Name
    customer_id: OwnerId | UnsetType | None = UNSET


class TeamUpdate(OwnerInput, frozen=True, kw_only=True):
    """`customer_id` null or `""` takes the team out of its customer; `reset_budget_usage` as for a customer."""

    name: Name | UnsetType = UNSET
    customer_id: OwnerId | UnsetType | None = UNSET
    reset_budget_usage: bool = False
