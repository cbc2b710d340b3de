"""The SQL of the service, loaded once from `sql/queries`; a file that does not parse stops the start.

Only modules of this package call these: aiosql's functions are untyped, the functions around them are not.
"""

from pathlib import Path
from typing import Any

import aiosql


def sql_folder() -> Path:
    """Where the .sql files are: inside the package in a wheel, beside it in a checkout."""
    packaged = Path(__file__).parents[1] / "_sql"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "sql"


# mandatory_parameters: a query names its parameters, so that a stray `:word` fails here and not at run time.
queries: Any = aiosql.from_path(sql_folder() / "queries", "asyncpg", mandatory_parameters=True)
