"""Which runs of the Redis servers are there, and when they were last brought level with the ledger."""

from datetime import timedelta

import msgspec

from service.counters.client import CounterClient, ScriptCall, load_script

_FIND = load_script("find_server_run")
_READ_RECONCILED = load_script("read_reconciled_runs")
_MARK = load_script("mark_server_run")
_KEYS = ("gov:reconciled_run",)
_NOTHING = msgspec.msgpack.encode(None)
_decode_run_id = msgspec.msgpack.Decoder(str).decode
_decode_reconciled = msgspec.msgpack.Decoder(tuple[str, str, str]).decode


class ServerRuns(msgspec.Struct, frozen=True):
    """The runs there are now, one of each primary. `ids` is one word, `seen_us` an instant of the server's clock."""

    ids: str
    seen_us: str
    reconciled_before: timedelta | None
    """How long ago they were last reconciled; None when one of them never was."""


async def find_server_runs(client: CounterClient) -> ServerRuns:
    """Raises CountersUnavailableError."""
    answers = await client.batcher.run_everywhere(ScriptCall(_FIND, (), _NOTHING))
    runs = set(map(_decode_run_id, answers))
    answer = await client.batcher.run(ScriptCall(_READ_RECONCILED, _KEYS, _NOTHING))
    reconciled, began_us, now_us = _decode_reconciled(answer)
    is_known = runs <= set(reconciled.split("+"))
    before = timedelta(microseconds=max(0, int(now_us) - int(began_us))) if is_known else None
    return ServerRuns("+".join(sorted(runs)), now_us, before)


async def mark_reconciled(client: CounterClient, runs: ServerRuns) -> None:
    """All that changed until they were seen was merged into them. Raises CountersUnavailableError."""
    await client.batcher.run(ScriptCall(_MARK, _KEYS, msgspec.msgpack.encode((runs.ids, runs.seen_us))))
