"""Which runs of the Redis servers are there, and whether they were brought level with the ledger."""

import msgspec

from service.counters.client import CounterClient, ScriptCall, load_script

_FIND = load_script("find_server_run")
_READ_RECONCILED = load_script("read_reconciled_runs")
_MARK = load_script("mark_server_run")
_KEYS = ("gov:reconciled_run",)
_NOTHING = msgspec.msgpack.encode(None)
_answer_decoder = msgspec.msgpack.Decoder(str)


async def find_unreconciled_run(client: CounterClient) -> str | None:
    """The ids of the primaries' runs, as one word, when one of them still has to be reconciled.

    Raises CountersUnavailableError.
    """
    answers = await client.batcher.run_everywhere(ScriptCall(_FIND, (), _NOTHING))
    runs = {_answer_decoder.decode(answer) for answer in answers}
    reconciled = _answer_decoder.decode(await client.batcher.run(ScriptCall(_READ_RECONCILED, _KEYS, _NOTHING)))
    return None if runs <= set(reconciled.split("+")) else "+".join(sorted(runs))


async def mark_reconciled(client: CounterClient, run_id: str) -> None:
    """Raises CountersUnavailableError."""
    await client.batcher.run(ScriptCall(_MARK, _KEYS, msgspec.msgpack.encode((run_id,))))
