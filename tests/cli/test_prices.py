"""`governance prices`: a price file is imported whole or not at all, again and again, and what is there is listed."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.store.postgres import connect

GPT = {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05}
FILE: dict[str, Any] = {
    "sample_spec": {"input_cost_per_token": 0},
    "gpt-4o": GPT,
    "azure/gpt-4o": GPT | {"litellm_provider": "azure", "cache_read_input_token_cost": 1.25e-06},
    "dall-e-3": {"litellm_provider": "openai", "output_cost_per_image": 0.04},
}


class Prices:
    """The command on one database, with a price file that can be written anew."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._database_url = database_url
        self._file = folder / "prices.json"

    def write(self, document: Any) -> None:
        self._file.write_text(document if isinstance(document, str) else json.dumps(document))

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["prices", *arguments], env={"DATABASE_URL": self._database_url})

    def import_(self, *options: str) -> str:
        """What it says of the rows."""
        result = self.run("import", *options, str(self._file))
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self) -> str:
        result = self.run("import", str(self._file))
        assert result.exit_code == 1, result.output
        return result.stderr

    def listed(self, *options: str) -> list[str]:
        result = self.run("list", *options)
        assert result.exit_code == 0, result.output
        return [" ".join(line.split()) for line in result.stdout.splitlines()]

    def audited(self) -> list[str]:
        async def read() -> list[str]:
            connection = await connect(self._database_url)
            rows = await connection.fetch("SELECT actor, action, entity_id, changes::text FROM audit_log ORDER BY id")
            await connection.close()
            return [" ".join(row) for row in rows]

        return asyncio.run(read())


@pytest.fixture
def prices(database_url: str, tmp_path: Path) -> Prices:
    made = Prices(database_url, tmp_path)
    made.write(FILE)
    return made


def test_an_import_says_what_it_did_and_what_it_left_out(prices: Prices) -> None:
    assert prices.import_() == "added 3, changed 0, unchanged 0\nskipped 2\n"
    assert prices.listed() == [
        "azure azure/gpt-4o chat input 2.5, output 10, cached input 1.25",
        "azure gpt-4o chat input 2.5, output 10, cached input 1.25",
        "openai gpt-4o chat input 2.5, output 10",
    ]
    told = prices.run("import", str(prices._file)).stderr
    assert "skipped 1: has no price per token (dall-e-3)" in told
    assert "skipped 1: is an example (sample_spec)" in told


def test_an_import_may_be_repeated_and_keeps_models_that_are_not_in_the_file(prices: Prices) -> None:
    prices.import_()
    assert prices.import_().startswith("added 0, changed 0, unchanged 3\n")
    prices.write({"gpt-4o": GPT | {"input_cost_per_token": 3e-06}, "new": GPT})
    assert prices.import_().startswith("added 1, changed 1, unchanged 0\n")
    assert len(prices.listed()) == 4
    assert prices.listed("--provider", "openai", "--search", "4O") == ["openai gpt-4o chat input 3, output 10"]


def test_an_import_that_changed_something_is_in_the_audit_log(prices: Prices) -> None:
    prices.import_()
    prices.import_()
    prices.import_("--dry-run")
    assert prices.audited() == [
        'command line model_prices.import prices.json {"added": [0, 3], "changed": [0, 0]}',
    ]


def test_a_dry_run_says_the_same_and_changes_nothing(prices: Prices) -> None:
    assert prices.import_("--dry-run") == "would be added 3, changed 0, unchanged 0\nskipped 2\n"
    assert prices.listed() == []
    assert prices.audited() == []


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (FILE | {"bad": GPT | {"input_cost_per_token": "cheap"}}, "'bad': input_cost_per_token must be a number"),
        (FILE | {"bad": GPT | {"output_cost_per_token": -1}}, "'bad': output_cost_per_token must be between"),
        ("no JSON", "the file is no JSON object of models"),
    ],
)
def test_a_fault_in_the_file_is_named_and_nothing_is_written(prices: Prices, document: Any, fault: str) -> None:
    prices.write(document)
    assert fault in prices.refused()
    assert prices.listed() == []


def test_a_long_list_says_that_there_is_more(prices: Prices) -> None:
    prices.import_()
    result = prices.run("list", "--limit", "2")
    assert len(result.stdout.splitlines()) == 2
    assert "2 of 3" in result.stderr


def test_a_file_that_is_not_there_is_said(prices: Prices) -> None:
    result = prices.run("import", "nowhere.json")
    assert result.exit_code == 2
    assert "nowhere.json" in result.stderr
