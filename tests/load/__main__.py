"""The command: `python -m tests.load --all`, or some scenarios by name."""

import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tests.load import cores
from tests.load.bench import POSTGRES_SETTINGS, VALKEY_SETTINGS, Bench, Options, working_folder
from tests.load.deployed import deployed
from tests.load.programs import ProgramError
from tests.load.report import table, to_json
from tests.load.runner import Result, run_scenario
from tests.load.scenarios.scenario import Scenario
from tests.load.scenarios.table import BY_NAME, SCENARIOS
from tests.load.wrk import LoadError

_RESULTS = Path(__file__).parent / "results"


@click.command()
@click.argument("names", nargs=-1, metavar="[SCENARIO]…")
@click.option("--all", "everything", is_flag=True, help="Every scenario.")
@click.option("--rounds", default=5, show_default=True, help="A B A B …: how often each side is measured.")
@click.option("--seconds", default=5.0, show_default=True, help="Per side and round.")
@click.option("--connections", default=64, show_default=True)
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the figures."
)
@click.option("--url", default="", help="Measure the deployment there instead; nothing is started beside it.")
@click.option("--token", default="", help="Its API token.")
@click.option("--virtual-key", default="", help="A virtual key of it, to authorize calls and book usage with.")
def main(names: Sequence[str], everything: bool, json_path: Path | None, **given: Any) -> None:
    """Measure the service beside something else on the same core; without a name, list what there is."""
    where = {name: given.pop(name) for name in ("url", "token", "virtual_key")}
    if not (names or everything or where["url"]):
        _list_scenarios()
        return
    with working_folder() as folder, Bench(Options(folder=folder, **given)) as bench:
        chosen = deployed(bench, **where) if where["url"] else _chosen(names)
        results = list(_run(bench, chosen))
    click.echo("\n" + table(results))
    _write(results, json_path or _RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json", bench.options)


def _chosen(names: Sequence[str]) -> Sequence[Scenario]:
    """All of them without a name. Raises click.BadParameter."""
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise click.BadParameter(f"no such scenario: {', '.join(unknown)}")
    return [BY_NAME[name] for name in names] or SCENARIOS


def _list_scenarios() -> None:
    for scenario in SCENARIOS:
        click.echo(f"{scenario.name:<24} {scenario.says}")


def _run(bench: Bench, scenarios: Sequence[Scenario]) -> Iterator[Result]:
    """What cannot be measured is named and skipped."""
    for scenario in scenarios:
        lack = scenario.lacks()
        if lack is not None:
            click.echo(f"{scenario.name}: skipped, {lack}")
            continue
        click.echo(f"{scenario.name}: {scenario.says}")
        try:
            yield run_scenario(bench, scenario, say=click.echo)
        except (LoadError, ProgramError) as error:
            click.echo(f"{scenario.name}: failed, {error}")


def _write(results: Sequence[Result], path: Path, options: Options) -> None:
    about: dict[str, Any] = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cores": {"all": sorted(cores.ALL), "service": sorted(cores.SERVICE), "rest": sorted(cores.REST)},
        "postgres": POSTGRES_SETTINGS,
        "valkey": VALKEY_SETTINGS,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": options.connections,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_json(results, taken_at=datetime.now(UTC), about=about))
    click.echo(f"\n{path}")


if __name__ == "__main__":
    main()
