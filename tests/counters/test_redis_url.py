"""REDIS_URL in all its forms."""

import pytest
from redis.asyncio import SSLConnection

from service.counters.client import open_counters
from service.counters.redis_url import Address, parse_redis_url
from service.settings import SettingsError, load_settings


def test_one_server_is_as_redis_py_reads_it() -> None:
    url = parse_redis_url("redis://user:p%40ss@host:6380/3?client_name=gov")
    assert (url.kind, url.addresses) == ("single", ())
    options = {"username": "user", "password": "p@ss", "host": "host", "port": 6380, "db": 3, "client_name": "gov"}
    assert url.options == options


def test_a_cluster_is_named_by_some_of_its_servers() -> None:
    url = parse_redis_url("rediss+cluster://user:p%40ss@one:7000,[::1]:7001,two?ssl_ca_certs=/ca.pem")
    assert url.kind == "cluster"
    assert url.addresses == [Address("one", 7000), Address("::1", 7001), Address("two", 6379)]
    given = {"username": "user", "password": "p@ss", "ssl_ca_certs": "/ca.pem", "connection_class": SSLConnection}
    assert url.options == given


def test_sentinels_name_the_primary_and_may_ask_for_a_password_of_their_own() -> None:
    url = parse_redis_url("redis+sentinel://:secret@one,two:26380/the%2Fprimary/2?sentinel_password=other")
    assert url.kind == "sentinel"
    assert url.addresses == [Address("one", 26379), Address("two", 26380)]
    assert (url.primary_name, url.options) == ("the/primary", {"password": "secret", "db": 2})
    assert url.sentinel_options == {"password": "other"}


@pytest.mark.parametrize("url", ["redis+cluster://one,,two", "redis+cluster://", "redis+magic://one"])
def test_what_cannot_be_understood_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^REDIS_URL "):
        parse_redis_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host:6379/0",
        "rediss://:pw@host",
        "unix:///run/valkey.sock",
        "redis+cluster://one:7000,two:7000",
        "rediss+cluster://:pw@one",
        "redis+sentinel://one,two/primary",
        "rediss+sentinel://one/primary/1?ssl_cert_reqs=none",
    ],
)
async def test_each_form_is_a_setting_and_can_be_opened(url: str) -> None:
    settings = load_settings({}, database_url="postgresql://nobody@127.0.0.1:1/none", redis_url=url)
    client = open_counters(settings)
    assert client.is_cluster == ("cluster" in url)
    await client.close()


@pytest.mark.parametrize("url", ["redis://one/0", "redis+cluster://one", "redis+sentinel://one/primary"])
async def test_an_option_that_no_connection_takes_is_refused_when_it_is_opened(url: str) -> None:
    database_url = "postgresql://nobody@127.0.0.1:1/none"
    settings = load_settings({}, database_url=database_url, redis_url=f"{url}?ssl_nonsense=1")
    with pytest.raises(ValueError, match=r"^REDIS_URL has an option that no connection takes$"):
        open_counters(settings)


@pytest.mark.parametrize("url", ["redis+sentinel://one,two", "redis+sentinel://one/", "unix+cluster://one", "one:6379"])
def test_other_forms_are_no_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="REDIS_URL"):
        load_settings({}, database_url="postgresql://nobody@127.0.0.1:1/none", redis_url=url)
