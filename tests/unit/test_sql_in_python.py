"""SQL lives in sql/, where it is read, prepared and checked as SQL."""

import ast
import re

import pytest

from tests.unit.test_architecture import sources

_SQL = re.compile(
    r"\s*(?:SELECT\s.*\sFROM\s|SELECT\s+(?:\d|\w+\()|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|TRUNCATE\s"
    r"|(?:CREATE|ALTER|DROP)\s+(?:\w+\s+)*?(?:TABLE|DATABASE|INDEX|ROLE|USER|SCHEMA|TYPE|FUNCTION|TRIGGER)\s"
    r"|WITH\s+\w+\s+AS\s*\(|COPY\s+\w+\s+FROM|(?:LISTEN|NOTIFY)\s+\w+|SET\s+(?:LOCAL|SESSION)\s|LOCK\s+TABLE\s)",
    re.IGNORECASE | re.DOTALL,
)
_STATEMENT_METHODS = {"execute", "executemany", "fetch", "fetchrow", "fetchval", "prepare", "cursor"}


def sql_in(source: str) -> list[str]:
    """SQL statements a module spells out; a docstring may speak of them."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [_text(node) for node in ast.walk(tree) if id(node) not in docstrings]
    return [text for text in texts if _SQL.match(text)] + [
        ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call) and _executes_a_literal(node)
    ]


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) or "…" for value in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _executes_a_literal(call: ast.Call) -> bool:
    method = getattr(call.func, "attr", "")
    return method in _STATEMENT_METHODS and bool(call.args) and bool(_text(call.args[0]))


def test_no_module_spells_out_sql() -> None:
    found = {module: sql_in(source) for module, source in sources().items()}
    assert {module: statements for module, statements in found.items() if statements} == {}


@pytest.mark.parametrize(
    "source",
    [
        'q = "SELECT id FROM customers"',
        'q = """\n  insert into customers values (1)"""',
        'q = f"UPDATE {table} SET tenant_id = 1"',
        'q = "DELETE FROM " + table',
        'q = "CREATE UNIQUE INDEX x ON y (z)"',
        'q = "WITH a AS (SELECT 1) TABLE a"',
        'connection.execute("VACUUM")',
        'connection.fetchval(f"{name}")',
    ],
)
def test_sql_in_python_is_seen(source: str) -> None:
    assert sql_in(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""SELECT id FROM t"""',
        'x = "update the settings"',
        'x = "with a key as given"',
        "connection.execute(migration)",
    ],
)
def test_what_only_speaks_of_sql_is_left_alone(source: str) -> None:
    assert sql_in(source) == []
