"""No example lets a client say what only its gateway may say."""

import re
from typing import Any

import pytest
import yaml

from service.http.authz import HEADERS_OF_GATEWAYS
from tests.gateways.programs import DEPLOY


@pytest.mark.parametrize("name", ["nginx.conf", "nginx-with-bodies.conf"])
def test_nginx_sets_or_takes_out_each_of_them_where_it_asks(name: str) -> None:
    text = (DEPLOY / "nginx" / name).read_text()
    (asking,) = re.findall(r"location = /_authz \{(.*?)\n        \}", text, re.DOTALL)
    given = {header.lower() for header in re.findall(r"proxy_set_header (\S+)", asking)}
    assert given >= HEADERS_OF_GATEWAYS


def test_caddy_takes_them_out_before_it_asks() -> None:
    text = (DEPLOY / "caddy" / "Caddyfile").read_text()
    first = text.partition("forward_auth")[0]
    assert "route {" in first
    assert {"request_header -X-Governance-*", "request_header -X-Original-Uri"} <= {
        line.strip() for line in first.splitlines()
    }


def test_envoy_passes_none_of_them_on() -> None:
    document: Any = yaml.safe_load((DEPLOY / "envoy" / "envoy.yaml").read_text())
    (chain,) = document["static_resources"]["listeners"][0]["filter_chains"]
    filters = chain["filters"][0]["typed_config"]["http_filters"]
    asking = filters[0]["typed_config"]
    assert asking["http_service"]["path_prefix"] == "/authz"
    passed = {pattern["exact"] for pattern in asking["allowed_headers"]["patterns"]}
    assert passed & HEADERS_OF_GATEWAYS == set()
