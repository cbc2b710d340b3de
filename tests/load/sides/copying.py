"""COPY of the ledger's own rows by one asyncpg connection: the fastest a row gets into Postgres.

`python -m tests.load.sides.copying BATCH`, DATABASE_URL in the environment; for each number of seconds on standard
input it copies for so long, BATCH rows a commit, into a table without an index, and answers a line of JSON.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from service.settings import to_environment
from service.store.postgres import Connection, connect
from tests.load import cores
from tests.load.bench import Bench, Deployment
from tests.load.figures import Sample
from tests.load.programs import Conversation, talking


class Copying(msgspec.Struct, frozen=True):
    """A process that copies when told to."""

    conversation: Conversation

    def measure(self, seconds: float) -> Sample:
        """Rows a second. Raises ProgramError when it has ended."""
        return msgspec.json.decode(self.conversation.ask(str(seconds)), type=Sample)


@contextmanager
def copying(bench: Bench, deployment: Deployment, *, batch: int) -> Iterator[Copying]:
    """On the service's core; the ledger has at least `batch` rows."""
    with talking(
        [sys.executable, "-m", "tests.load.sides.copying", str(batch)],
        cores=cores.SERVICE,
        log=bench.log("copying"),
        environment=to_environment(deployment.settings),
    ) as conversation:
        yield Copying(conversation)


async def copy_for(
    connection: Connection, records: list[tuple[Any, ...]], columns: list[str], seconds: float
) -> Sample:
    await connection.execute("TRUNCATE copied")
    copied = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        await connection.copy_records_to_table("copied", records=records, columns=columns)
        copied += len(records)
    return Sample(copied / (time.perf_counter() - started))


async def main(batch: int) -> None:
    connection = await connect(os.environ["DATABASE_URL"])
    await connection.execute("CREATE TABLE IF NOT EXISTS copied (LIKE usage_events)")
    rows = await connection.fetch("SELECT * FROM usage_events LIMIT $1", batch)
    columns = list(rows[0].keys())
    records = [tuple(row) for row in rows]
    for line in sys.stdin:
        sample = await copy_for(connection, records, columns, float(line))
        sys.stdout.write(msgspec.json.encode(sample).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
