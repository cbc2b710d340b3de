"""API tokens: trusted for a second and no longer, and an outage of Postgres locks nobody out whom it knew."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import asyncpg
import pytest

from service.domain.access import Principal, Scope
from service.domain.sealing import Sealer
from service.governance.access import Gatekeeper, create_token, revoke_token
from service.store.api_tokens import TokenNameTakenError, insert_api_token
from service.store.postgres import Connection, Store, StoreUnavailableError
from tests.conftest import Clock
from tests.factories import Factory
from tests.governance.outage import database_away, end_connections_unnoticed
from tests.servers import Servers

ADMIN_TOKEN = "bootstrap-token-of-at-least-32-characters"
Issue = Callable[..., Awaitable[str]]


@pytest.fixture
def gatekeeper(store: Store, sealer: Sealer, clock: Clock) -> Gatekeeper:
    return Gatekeeper(store, sealer, admin_token=ADMIN_TOKEN, clock=clock)


@pytest.fixture
def issue(connection: Connection, sealer: Sealer) -> Issue:
    """Make a token of scope read, and answer its value."""

    async def issue(name: str, *, scope: Scope = "read", expires_at: datetime | None = None) -> str:
        issued = await create_token(connection, sealer, name=name, scope=scope, expires_at=expires_at, actor="test")
        return issued.value

    return issue


async def test_a_revocation_is_in_force_a_second_after_the_token_was_looked_up(
    gatekeeper: Gatekeeper, issue: Issue, connection: Connection, clock: Clock
) -> None:
    value = await issue("ci", scope="gateway")
    assert await gatekeeper.identify(value) == Principal("ci", "gateway")
    await revoke_token(connection, name="ci", actor="test")
    clock.forward(seconds=0.999999)
    assert await gatekeeper.identify(value) == Principal("ci", "gateway")
    clock.forward(microseconds=1)
    assert await gatekeeper.identify(value) is None


async def test_being_asked_again_and_again_does_not_prolong_the_trust(
    gatekeeper: Gatekeeper, issue: Issue, connection: Connection, clock: Clock
) -> None:
    value = await issue("ci")
    assert await gatekeeper.identify(value) is not None
    await revoke_token(connection, name="ci", actor="test")
    for _ in range(4):
        clock.forward(milliseconds=249)
        assert await gatekeeper.identify(value) is not None
    clock.forward(milliseconds=4)
    assert await gatekeeper.identify(value) is None


async def test_a_clock_that_jumps_back_does_not_prolong_the_trust(
    gatekeeper: Gatekeeper, issue: Issue, connection: Connection, clock: Clock
) -> None:
    value = await issue("ci")
    assert await gatekeeper.identify(value) is not None
    await revoke_token(connection, name="ci", actor="test")
    clock.forward(hours=-1)
    await gatekeeper.identify(value)
    clock.forward(seconds=1)
    assert await gatekeeper.identify(value) is None


async def test_a_token_expires_in_the_midst_of_its_trusted_second(
    gatekeeper: Gatekeeper, issue: Issue, clock: Clock
) -> None:
    value = await issue("short", expires_at=clock() + timedelta(milliseconds=500))
    clock.forward(milliseconds=499.999)
    assert await gatekeeper.identify(value) == Principal("short", "read")
    clock.forward(microseconds=1)
    assert await gatekeeper.identify(value) is None


async def test_a_token_made_after_it_was_refused_is_let_in_at_once(
    gatekeeper: Gatekeeper, connection: Connection, sealer: Sealer
) -> None:
    assert await gatekeeper.identify("gov_soon") is None
    token_hash = sealer.hash_api_token("gov_soon")
    await insert_api_token(connection, token_id="1", name="soon", scope="read", token_hash=token_hash, expires_at=None)
    assert await gatekeeper.identify("gov_soon") == Principal("soon", "read")


async def test_in_an_outage_of_postgres_what_was_known_holds_and_the_rest_is_not_guessed(
    gatekeeper: Gatekeeper, issue: Issue, connection: Connection, clock: Clock, servers: Servers, database_url: str
) -> None:
    soon = clock() + timedelta(minutes=30)
    values = {name: await issue(name) for name in ("known", "revoked", "unseen")}
    values["expiring"] = await issue("expiring", expires_at=soon)
    await revoke_token(connection, name="revoked", actor="test")
    for name in ("known", "revoked", "expiring"):
        await gatekeeper.identify(values[name])
    async with database_away(servers.postgres_url, database_url):
        for minutes in (10, 50):
            clock.forward(minutes=minutes)
            assert await gatekeeper.identify(values["known"]) == Principal("known", "read")
            assert await gatekeeper.identify(values["revoked"]) is None
            assert (await gatekeeper.identify(values["expiring"]) is None) is (clock() >= soon)
            for stranger in (values["unseen"], "gov_wrong"):
                with pytest.raises(StoreUnavailableError):
                    await gatekeeper.identify(stranger)
        assert await gatekeeper.identify(ADMIN_TOKEN) == Principal("bootstrap", "admin")
    assert await gatekeeper.identify(values["unseen"]) == Principal("unseen", "read")
    assert await gatekeeper.identify("gov_wrong") is None


async def test_connections_that_postgres_just_ended_are_an_outage_whatever_of_it_was_read(
    gatekeeper: Gatekeeper, issue: Issue, clock: Clock, servers: Servers, database_url: str
) -> None:
    """Of a connection that is ended the driver reads the reason in one turn of the loop, and the end in another."""
    value = await issue("known")
    for turns in range(5):
        clock.forward(seconds=1)
        await gatekeeper.identify(value)
        clock.forward(seconds=1)
        end_connections_unnoticed(servers.postgres_url, database_url)
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await gatekeeper.identify(value) == Principal("known", "read"), f"after {turns} turns"


async def test_what_is_remembered_is_bounded_and_wrong_tokens_push_nobody_out(
    gatekeeper: Gatekeeper,
    issue: Issue,
    clock: Clock,
    servers: Servers,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.governance.access._MOST_REMEMBERED", 3)
    values = [await issue(f"token {number}") for number in range(4)]
    for value in values[:3]:
        await gatekeeper.identify(value)
    clock.forward(seconds=1)
    await gatekeeper.identify(values[0])  # looked up again: no longer the oldest
    await gatekeeper.identify(values[3])
    for number in range(10):
        await gatekeeper.identify(f"gov_wrong-{number}")
    async with database_away(servers.postgres_url, database_url):
        for held in (0, 2, 3):
            assert await gatekeeper.identify(values[held]) == Principal(f"token {held}", "read")
        with pytest.raises(StoreUnavailableError):
            await gatekeeper.identify(values[1])


async def test_without_an_admin_token_nothing_stands_for_it(store: Store, sealer: Sealer, clock: Clock) -> None:
    gatekeeper = Gatekeeper(store, sealer, admin_token="", clock=clock)
    for presented in ("", "gov_wrong", "gov_\udcff", "x" * 100_000):
        assert await gatekeeper.identify(presented) is None


async def test_a_virtual_key_is_no_api_token(
    gatekeeper: Gatekeeper, make: Factory, connection: Connection, sealer: Sealer
) -> None:
    await make.virtual_key(value="sk-bf-both")
    assert sealer.hash_virtual_key("sk-bf-both") != sealer.hash_api_token("sk-bf-both")
    await insert_api_token(
        connection,
        token_id="1",
        name="with a virtual key's hash",
        scope="admin",
        token_hash=sealer.hash_virtual_key("sk-bf-both"),
        expires_at=None,
    )
    assert await gatekeeper.identify("sk-bf-both") is None


async def test_a_name_is_never_given_twice(issue: Issue, connection: Connection) -> None:
    await issue("ci")
    with pytest.raises(TokenNameTakenError):
        await issue("ci")
    await revoke_token(connection, name="ci", actor="test")
    with pytest.raises(TokenNameTakenError):
        await issue("ci")
    assert await connection.fetchval("SELECT count(*) FROM api_tokens") == 1
    assert await connection.fetchval("SELECT count(*) FROM audit_log WHERE action = 'api_token.create'") == 1


async def test_a_token_is_revoked_once(issue: Issue, connection: Connection) -> None:
    await issue("ci")
    revoked = await revoke_token(connection, name="ci", actor="test")
    assert revoked is not None
    assert revoked.revoked_at is not None
    for name in ("ci", "no such token"):
        assert await revoke_token(connection, name=name, actor="test") is None
    assert await connection.fetchval("SELECT revoked_at FROM api_tokens") == revoked.revoked_at
    assert await connection.fetchval("SELECT count(*) FROM audit_log WHERE action = 'api_token.revoke'") == 1


@pytest.mark.own_database
async def test_what_cannot_be_written_to_the_audit_log_does_not_happen(issue: Issue, connection: Connection) -> None:
    value = await issue("before")
    await connection.execute("ALTER TABLE audit_log RENAME TO away")
    with pytest.raises(asyncpg.UndefinedTableError):
        await issue("after")
    with pytest.raises(asyncpg.UndefinedTableError):
        await revoke_token(connection, name="before", actor="test")
    rows = await connection.fetch("SELECT name, revoked_at FROM api_tokens")
    assert [tuple(row) for row in rows] == [("before", None)]
    assert value.startswith("gov_")
