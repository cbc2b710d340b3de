"""`governance import` and `governance export` as an operator runs them: files, exit codes, and what they say."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.domain.sealing import new_encryption_key
from tests.servers import Servers, clone_template, drop_database

VALUE = "sk-bf-of-the-environment"
DOCUMENT: dict[str, Any] = {
    "governance": {
        "customers": [{"id": "acme", "name": "Acme"}],
        "virtual_keys": [{"id": "vk", "name": "ci", "value": "env.CI_KEY", "customer_id": "acme"}],
        "routing_rules": [{"id": "r"}],
    }
}


class Governance:
    """The `governance` command on one database, in a folder."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._environment = {"DATABASE_URL": database_url, "GOVERNANCE_ENCRYPTION_KEY": new_encryption_key()}
        self.file = folder / "config.json"

    def run(self, *arguments: str, document: Any = None, exit_code: int = 0, **environment: str) -> Result:
        if document is not None:
            self.file.write_text(json.dumps(document), encoding="utf-8")
        result = CliRunner().invoke(main, arguments, env=self._environment | environment)
        assert result.exit_code == exit_code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result


@pytest.fixture
async def command(servers: Servers, tmp_path: Path) -> AsyncIterator[Governance]:
    url = await clone_template(servers)
    yield Governance(url, tmp_path)
    await drop_database(servers.postgres_url, urlsplit(url).path.removeprefix("/"))


def test_an_import_lists_what_it_changed(command: Governance) -> None:
    made = command.run("import", str(command.file), document=DOCUMENT, CI_KEY=VALUE)
    assert made.stdout == (
        '+ customer acme  "Acme"\n+ virtual_key vk  "ci"\ncreated 2, changed 0, deleted 0, unchanged 0, warnings 1\n'
    )
    assert "warning: $.governance.routing_rules: is no part of this service: left out (1 entry)" in made.stderr
    renamed = {"governance": {"customers": [{"id": "acme", "name": "New"}], "virtual_keys": []}}
    shown = command.run("import", str(command.file), "--dry-run", "--mode", "source-of-truth", document=renamed)
    assert shown.stdout == (
        '- virtual_key vk\n~ customer acme  name: "Acme" → "New"\n'
        "would be created 0, changed 1, deleted 1, unchanged 0, warnings 0\n"
    )
    again = command.run("import", str(command.file), document=DOCUMENT, CI_KEY=VALUE)
    assert again.stdout == "created 0, changed 0, deleted 0, unchanged 2, warnings 1\n"
    assert VALUE not in made.output + shown.output + again.output


def test_a_file_with_faults_changes_nothing_and_names_them_all(command: Governance) -> None:
    document = {"governance": DOCUMENT["governance"] | {"teams": [{"id": "t", "name": "T", "customer_id": "gone"}]}}
    said = command.run("import", str(command.file), document=document, exit_code=1)
    assert "fault: $.governance.virtual_keys[0].value: the environment variable CI_KEY is not set" in said.stderr
    assert "Error: nothing was changed: 1 fault" in said.stderr
    said = command.run("import", str(command.file), document=document, exit_code=1, CI_KEY=VALUE)
    assert "fault: $.governance.teams[0].customer_id: names no customer there is" in said.stderr
    exported = json.loads(command.run("export").stdout)
    assert exported["governance"]["customers"] == []


@pytest.mark.parametrize("arguments", [("import",), ("import", "no such file"), ("import", "-", "--mode", "both")])
def test_what_is_no_use_of_the_command_ends_with_2(command: Governance, arguments: tuple[str, ...]) -> None:
    command.run(*arguments, exit_code=2)


def test_a_file_of_values_is_for_its_owner_only(command: Governance) -> None:
    command.run("import", str(command.file), document=DOCUMENT, CI_KEY=VALUE)
    command.file.unlink()
    assert "without the secrets of 1 virtual keys" in command.run("export", str(command.file)).stderr
    assert VALUE not in command.file.read_text(encoding="utf-8")
    said = command.run("export", str(command.file), "--with-values")
    assert "in clear" in said.stderr
    assert VALUE in command.file.read_text(encoding="utf-8")
    assert command.file.stat().st_mode & 0o777 == 0o600
    assert VALUE not in said.output
    assert list(command.file.parent.iterdir()) == [command.file], "and nothing else is left"


def test_what_cannot_be_written_is_said_in_a_line(command: Governance) -> None:
    said = command.run("export", str(command.file.parent / "none" / "config.json"), exit_code=1)
    assert "No such file or directory" in said.stderr.splitlines()[-1]
