import asyncio
import os
import signal
import subprocess
from pathlib import Path

import asyncpg
import psutil

from service.embedded.programs import find_postgres
from service.embedded.servers import EmbeddedPostgres
from tests.embedded.notes import connected
from tests.embedded.waiting import lives, until


async def test_a_backend_that_outlives_the_killed_server_does_not_block_the_next_start(
    postgres: EmbeddedPostgres,
) -> None:
    await postgres.start()
    assert postgres.pid
    connection = await asyncpg.connect(postgres.url)
    backend = psutil.Process(connection.get_server_pid())
    # Busy, so that it does not look whether its server still lives.
    busy = asyncio.create_task(
        connection.execute("DO $$ BEGIN LOOP NULL; END LOOP; END $$"),
    )
    await until(lambda: backend.cpu_times().user > 0.02)
    os.kill(postgres.pid, signal.SIGKILL)
    await postgres.exited()
    assert lives(backend)

    await postgres.start()
    assert not lives(backend)
    await asyncio.wait([busy])
    assert isinstance(busy.exception(), asyncpg.PostgresError | ConnectionError)


async def test_a_freeze_reaches_open_connections(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    async with connected(postgres) as connection:
        postgres.send(signal.SIGSTOP)
        query = asyncio.create_task(connection.fetchval("SELECT 1"))
        assert not (await asyncio.wait([query], timeout=0.1))[0]
        postgres.send(signal.SIGCONT)
        assert await query == 1


async def test_psql_connects_with_the_url_whatever_its_environment(
    postgres: EmbeddedPostgres,
) -> None:
    await postgres.start()
    psql = find_postgres().with_name("psql")
    process = await asyncio.create_subprocess_exec(
        psql,
        postgres.url,
        "-Atc",
        "SELECT current_database(), current_user",
        env={"PGPORT": "1", "PGHOST": "nowhere", "PGUSER": "somebody"},
        stdout=subprocess.PIPE,
    )
    answer, _ = await process.communicate()
    assert answer == b"governance|postgres\n"


async def test_a_new_database_is_unicode_in_code_point_order(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    async with connected(postgres) as connection:
        assert await connection.fetchval("SELECT lower('ÄÖ') || current_setting('TimeZone')") == "äöUTC"
        assert await connection.fetchval("SELECT 'a' > 'B'")


async def test_settings_reach_the_server(state_folder: Path) -> None:
    postgres = EmbeddedPostgres(state_folder, settings={"fsync": "off", "max_connections": "7"})
    await postgres.start()
    try:
        async with connected(postgres) as connection:
            assert await connection.fetchval("SHOW max_connections") == "7"
            assert await connection.fetchval("SHOW fsync") == "off"
    finally:
        await postgres.stop()
