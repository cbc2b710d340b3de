"""URLs of stores and webhooks: what can be taken apart by all who use it is one, on any Python."""

import pytest

from service.url_syntax import is_url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:p%5Bss@db:5432/governance",
        "postgresql://app@one,two:5433/governance",
        "postgresql:///governance?host=/run/postgresql",
        "redis://[::1]:6379/0",
        "redis://[fe80::1%25eth0]/0",
        "unix:///run/valkey.sock",
        "rediss+cluster://user:p%40ss@one:7000,[::1]:7001,two?ssl_ca_certs=/ca.pem",
        "redis+sentinel://[::1]:26379,[::2]/primary/0",
        "https://hooks.example.com:8443/a?b=[c]",
    ],
)
def test_a_url_names_its_hosts(url: str) -> None:
    assert is_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:[secret@db/governance",
        "postgresql://app:secret]@db/governance",
        "postgresql://app:sec#ret@db/governance",
        "postgresql://app@[::1/governance",
        "postgresql://app@[one]/governance",
        "postgresql://app@one:two:5432/governance",
        "postgresql://app@one:70000/governance",
        "redis+cluster://:p[ss@one",
        "redis+cluster://one,[two]:7000",
        "https://[12]/hook",
    ],
)
def test_what_a_library_would_trip_over_is_none(url: str) -> None:
    assert not is_url(url)
