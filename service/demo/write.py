"""Writes a demo tree into a migrated database: all of it, or nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from datetime import datetime

import asyncpg
import msgspec
from msgspec import Struct

from service.demo.catalogue import MCP_CLIENTS
from service.demo.catalogue_rows import catalogue_rows
from service.demo.owners import customer, team
from service.demo.rows import TABLES, McpClientRow, ProviderConfigRow
from service.demo.shape import DemoShape, DemoTree
from service.demo.usage import usage_events, used_numbers
from service.demo.virtual_keys import place_of, virtual_key
from service.domain.sealing import Sealer
from service.store.ledger import record_usage
from service.store.postgres import Connection
from service.store.queries import queries

# Bounds what is in memory at once, and what one statement's triggers queue.
_VIRTUAL_KEYS_PER_BATCH = 2_000
_USAGE_EVENTS_PER_BATCH = 500

Batch = dict[type[Struct], list[tuple[object, ...]]]
Progress = Callable[[str, int, int], None]


class DemoAlreadyThereError(Exception):
    """The database has this seed's tree, or something of the same name. Nothing was written."""


class DemoSummary(Struct, frozen=True):
    """What was written: rows by table, and events new in the ledger."""

    rows: dict[str, int]
    usage_events: int

    def describe(self) -> str:
        """In words, what a person would look for."""
        shown = ("customers", "teams", "virtual_keys", "budgets", "rate_limits")
        counts = ", ".join(f"{self.rows[table]} {table.replace('_', ' ')}" for table in shown)
        return f"{counts} and {self.usage_events} usage events"


async def write_demo_tree(
    connection: Connection,
    *,
    shape: DemoShape,
    sealer: Sealer,
    now: datetime,
    progress: Progress,
) -> DemoSummary:
    """Write the tree and some usage in one transaction. Raises DemoAlreadyThereError.

    `connection` is one of service.store.postgres.connect. `progress` is told a table, its rows so far and in all.
    """
    try:
        async with connection.transaction():
            tree = await _number_mcp_clients(connection, shape=shape, sealer=sealer, now=now)
            rows = await _write_rows(connection, tree, progress)
            usage_event_count = await _write_usage(connection, tree, progress)
    except asyncpg.UniqueViolationError as error:
        raise DemoAlreadyThereError(
            f"the demo tree of seed {shape.seed}, or something of the same name, is in the database already"
        ) from error
    return DemoSummary(rows=rows, usage_events=usage_event_count)


async def _number_mcp_clients(connection: Connection, *, shape: DemoShape, sealer: Sealer, now: datetime) -> DemoTree:
    ids = await _reserve_ids(connection, McpClientRow, len(MCP_CLIENTS))
    names = (client.name for client in MCP_CLIENTS)
    return DemoTree(shape=shape, sealer=sealer, now=now, mcp_client_ids=dict(zip(names, ids, strict=True)))


async def _write_rows(connection: Connection, tree: DemoTree, progress: Progress) -> dict[str, int]:
    shape = tree.shape
    totals = {
        "customers": shape.customers,
        "teams": shape.customers * shape.teams,
        "virtual_keys": shape.virtual_keys,
    }
    written = Counter[str]()
    await _copy(connection, _batch(catalogue_rows(tree)), written)
    async with aclosing(_batches(connection, tree)) as batches:
        async for batch in batches:
            await _copy(connection, batch, written)
            for table, total in totals.items():
                progress(table, written[table], total)
    return dict(written)


async def _batches(connection: Connection, tree: DemoTree) -> AsyncGenerator[Batch, None]:
    """The tree in order; a batch is made in a thread while the one before it is being written."""
    total = tree.shape.virtual_keys
    previous: asyncio.Task[Batch] | None = None
    for first in range(0, total, _VIRTUAL_KEYS_PER_BATCH):
        numbers = range(first, min(first + _VIRTUAL_KEYS_PER_BATCH, total))
        providers = sum(len(place_of(tree.shape, number).kind.providers) for number in numbers)
        config_ids = await _reserve_ids(connection, ProviderConfigRow, providers)
        batch = asyncio.create_task(asyncio.to_thread(_batch, _rows(tree, numbers, iter(config_ids))))
        if previous is not None:
            yield await previous
        previous = batch
    if previous is not None:
        yield await previous


def _rows(tree: DemoTree, numbers: range, provider_config_ids: Iterator[int]) -> Iterator[Struct]:
    """Virtual keys, and before the first of a customer or team that owner itself."""
    for number in numbers:
        if number % tree.shape.keys_per_customer == 0:
            row, limits = customer(tree, number // tree.shape.keys_per_customer)
            yield from (row, *limits)
        if number % tree.shape.keys == 0:
            team_row, limits = team(tree, number // tree.shape.keys)
            yield from (team_row, *limits)
        made = virtual_key(tree, number, provider_config_ids)
        yield made.row
        yield from made.limits
        yield from made.provider_configs
        yield from made.pinned_provider_keys
        yield from made.mcp_configs


def _batch(rows: Iterable[Struct]) -> Batch:
    batch: Batch = {row_type: [] for row_type in TABLES}
    for row in rows:
        batch[type(row)].append(msgspec.structs.astuple(row))
    return batch


async def _copy(connection: Connection, batch: Batch, written: Counter[str]) -> None:
    for row_type, records in batch.items():
        if records:
            table = TABLES[row_type]
            await connection.copy_records_to_table(table, columns=row_type.__struct_fields__, records=records)
            written[table] += len(records)


async def _write_usage(connection: Connection, tree: DemoTree, progress: Progress) -> int:
    """Answer how many events were new: the ledger keeps those of a tree that was deleted since."""
    events = [event for number in used_numbers(tree.shape) for event in usage_events(tree, number)]
    new = 0
    for first in range(0, len(events), _USAGE_EVENTS_PER_BATCH):
        batch = events[first : first + _USAGE_EVENTS_PER_BATCH]
        recorded = await record_usage(connection, batch)
        new += len(recorded.fresh_request_ids)
        progress("usage_events", first + len(batch), len(events))
    return new


async def _reserve_ids(connection: Connection, row_type: type[Struct], how_many: int) -> list[int]:
    rows = queries.reserve_ids(connection, table_name=TABLES[row_type], how_many=how_many)
    return [row["id"] async for row in rows]
