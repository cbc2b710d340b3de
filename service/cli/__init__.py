"""The `governance` command; each module here holds the subcommands of one kind."""

import click

from service.cli.check import check
from service.cli.config_file import export, import_
from service.cli.database import demo, encryption_key, migrate
from service.cli.maintenance import maintain
from service.cli.prices import prices
from service.cli.serving import dev, serve, worker
from service.cli.tokens import token
from service.settings import describe_settings

_SETTINGS_HELP = "\n".join(
    f"  {name} = {default or '(none)'}\n      {allowed}" for name, default, allowed in describe_settings()
)


@click.group(epilog=f"\b\nSettings, read from the environment:\n{_SETTINGS_HELP}")
@click.version_option(package_name="llm-governance")
def main() -> None:
    """Budgets, limits and allow-lists for LLM traffic.

    `governance dev` needs nothing else installed: it brings its own Postgres and Valkey. In production run
    `governance migrate` and then `governance serve` with DATABASE_URL and REDIS_URL.
    """


for command in (dev, serve, worker, migrate, maintain, check, demo, import_, export, prices, token, encryption_key):
    main.add_command(command)
