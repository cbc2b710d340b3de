"""What admitted, unfinished calls hold of meters, as Redis has it."""

from collections.abc import Mapping, Sequence

import msgspec

from service.counters.client import CounterClient, ScriptCall, load_script

# A bound on how long one script holds the server.
_FIELDS_PER_READ = 1000

_READ = load_script("read_held")


async def read_held(client: CounterClient, fields: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """What is held, by field, of those asked for by tenant; nothing is zero. Raises CountersUnavailableError."""
    chunks = [
        (tenant_id, of_tenant[start : start + _FIELDS_PER_READ])
        for tenant_id, of_tenant in fields.items()
        for start in range(0, len(of_tenant), _FIELDS_PER_READ)
    ]
    # The braces make all keys of a tenant one slot of a Redis Cluster.
    calls = [
        ScriptCall(_READ, [f"gov:{{{tenant_id}}}:held"], msgspec.msgpack.encode(list(chunk)))
        for tenant_id, chunk in chunks
    ]
    held: dict[str, int] = {}
    for (_, chunk), answer in zip(chunks, await client.run(calls) if calls else [], strict=True):
        amounts = msgspec.msgpack.decode(answer, type=list[str])
        held |= {field: int(amount or 0) for field, amount in zip(chunk, amounts, strict=True)}
    return held
