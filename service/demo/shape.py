"""How large a demo tree is, and what all of its rows follow from."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from service.domain.sealing import VIRTUAL_KEY_PREFIX, Sealer

MAX_VIRTUAL_KEYS = 1_000_000
MAX_SEED = 1_000_000
DEFAULT_SEED = 1

# Not a whole number of days or hours: no window ends while somebody looks at a tree just made.
_FIRST_CREATED = timedelta(days=30, hours=7, minutes=23)
# The last virtual key is ten days old, so that all of the demo's usage comes after it.
_CREATED_WITHIN = timedelta(days=20)
_CREATED_APART = timedelta(seconds=1)


class DemoShape(msgspec.Struct, frozen=True):
    """`teams` per customer and `keys` per team; some of a customer's keys hang on the customer itself.

    Raises ValueError when a number is below one, or the tree would be too large for one transaction.
    """

    customers: int = 3
    teams: int = 2
    keys: int = 3
    seed: int = DEFAULT_SEED

    def __post_init__(self) -> None:
        if min(self.customers, self.teams, self.keys) < 1:
            raise ValueError("customers, teams and keys must each be at least 1")
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"the seed must be between 0 and {MAX_SEED}")
        if self.virtual_keys > MAX_VIRTUAL_KEYS:
            raise ValueError(f"a demo tree has at most {MAX_VIRTUAL_KEYS} virtual keys")

    @property
    def keys_per_customer(self) -> int:
        return self.teams * self.keys

    @property
    def virtual_keys(self) -> int:
        return self.customers * self.keys_per_customer


class DemoTree(msgspec.Struct, frozen=True, kw_only=True):
    """All that the rows follow from. `mcp_client_ids`: what the database calls the catalogue's, by name."""

    shape: DemoShape
    now: datetime
    sealer: Sealer
    mcp_client_ids: Mapping[str, int]


def demo_id(tree: DemoTree, number: int, name: str) -> str:
    """The id of what `name` stands for in the tree of this seed: a UUID of version 8 (RFC 9562 §5.8)."""
    digits = hashlib.sha256(f"demo {tree.shape.seed} {number} {name}".encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"


def created_at(tree: DemoTree, virtual_key_number: int) -> datetime:
    """When a virtual key was made; its team and its customer, if it is their first, at the same instant."""
    apart = min(_CREATED_APART, _CREATED_WITHIN / tree.shape.virtual_keys)
    return tree.now - _FIRST_CREATED + virtual_key_number * apart


def virtual_key_value(tree: DemoTree, number: int) -> str:
    """The secret of virtual key `number`.

    Anyone with this source can make it: a demo tree must never stand where real calls are made.
    """
    digest = hashlib.sha256(f"demo virtual key {tree.shape.seed}/{number}".encode()).digest()
    return VIRTUAL_KEY_PREFIX + base64.urlsafe_b64encode(digest[:24]).decode()
