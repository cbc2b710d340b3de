"""What Postgres refuses, in the words of the API: by the name of the constraint that refused it."""

# asyncpg's classes are generic for the type checker only.
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from service.domain.refusals import RefusalKind, RefusedError

# Constraint: what kind of refusal it is, what to say, and where in the body the fault is.
_CONSTRAINTS: dict[str, tuple[RefusalKind, str, str | None]] = {
    "customers_name_key": ("conflict", "A customer with this name already exists", "$.name"),
    "teams_name_key": ("conflict", "A team with this name already exists", "$.name"),
    "virtual_keys_name_key": ("conflict", "A virtual key with this name already exists", "$.name"),
    "virtual_keys_value_hash_key": ("conflict", "A virtual key with this value already exists", "$.value"),
    "provider_keys_name_key": ("conflict", "A provider key with this name already exists", "$.name"),
    "mcp_clients_name_key": ("conflict", "An MCP client with this name already exists", "$.name"),
    "model_configs_virtual_key_id_model_name_provider_key": (
        "conflict",
        "There is a model config for this scope, model and provider already",
        "$.model_name",
    ),
    "routing_rules_name_key": ("conflict", "A routing rule with this name already exists in this scope", "$.name"),
    "teams_customer_id_fkey": ("invalid", "there is no such customer", "$.customer_id"),
    "virtual_keys_customer_id_fkey": ("invalid", "there is no such customer", "$.customer_id"),
    "virtual_keys_team_id_fkey": ("invalid", "there is no such team", "$.team_id"),
    "model_configs_virtual_key_id_fkey": ("invalid", "there is no such virtual key", "$.scope_id"),
    "pricing_overrides_virtual_key_id_fkey": ("invalid", "there is no such virtual key", "$.virtual_key_id"),
    "routing_rules_customer_id_fkey": ("invalid", "there is no such customer", "$.scope_id"),
    "routing_rules_team_id_fkey": ("invalid", "there is no such team", "$.scope_id"),
    "routing_rules_virtual_key_id_fkey": ("invalid", "there is no such virtual key", "$.scope_id"),
    "time_zone_name_check": ("invalid", "is no IANA time zone", "$.time_zone"),
}


class ConcurrentChangeError(Exception):
    """Another change was in the way: the same may be tried again."""


@contextmanager
def translated_refusals() -> Iterator[None]:
    """Raises RefusedError for what a constraint refuses, ConcurrentChangeError for a deadlock or too long a wait."""
    try:
        yield
    except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError) as error:
        raise ConcurrentChangeError from error
    except asyncpg.IntegrityConstraintViolationError as error:
        name = error.constraint_name or "a rule of the database"
        kind, message, path = _CONSTRAINTS.get(name, ("invalid", f"was refused by {name}", "$"))
        raise RefusedError(kind, message, path=path) from error
    except (asyncpg.DataError, asyncpg.exceptions.DataError) as error:
        # Not its text: that quotes what was sent.
        raise RefusedError("invalid", "holds a value that cannot be stored", path="$") from error
