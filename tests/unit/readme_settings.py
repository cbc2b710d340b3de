"""The README's table of settings, as `describe_settings` has it: `python -m tests.unit.readme_settings` writes it."""

import re
from pathlib import Path

from service.settings import describe_settings

README = Path(__file__).parents[2] / "README.md"
_TABLE = re.compile(r"^\| setting \| default \| \|\n(?:\|.*\n)+", re.MULTILINE)


def settings_table() -> str:
    rows = (f"| `{name}` | {_default(default)} | {_cell(says)} |\n" for name, default, says in describe_settings())
    return "".join(("| setting | default | |\n", "|---|---|---|\n", *rows))


def table_in(text: str) -> str:
    """Raises ValueError when there is not exactly one."""
    (found,) = _TABLE.findall(text)
    return str(found)


def _default(default: str) -> str:
    return default if default in ("", "required") else f"`{default}`"


def _cell(allowed: str) -> str:
    return allowed.replace(" | ", ", ")


if __name__ == "__main__":
    readme = README.read_text()
    README.write_text(readme.replace(table_in(readme), settings_table()))
