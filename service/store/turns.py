"""Turns of changes: they run at once, and one that met another half-way runs again alone."""

from service.store.postgres import Connection
from service.store.queries import queries

# An arbitrary constant: no other advisory lock of this database uses it.
_LOCK_ID = 4_701_201_979
# Less than the second after which Postgres looks for a deadlock: meanwhile all that wait for these rows stand still.
_LOCK_TIMEOUT_MS = 500


async def take_turn(connection: Connection, *, alone: bool) -> None:
    """Before anything else in the transaction of a change. `alone`: beside no other change, of any replica.

    Else the transaction raises ConcurrentChangeError when it waits for the rows of another for long.
    """
    if alone:
        await queries.take_turn_alone(connection, lock_id=_LOCK_ID)
    else:
        await queries.share_turn(connection, lock_id=_LOCK_ID, lock_timeout_ms=_LOCK_TIMEOUT_MS)
