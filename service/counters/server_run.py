"""Which run of the Redis server is there, and whether it was brought level with the ledger."""

import msgspec

from service.counters.client import CounterClient, ScriptCall, load_script

_FIND = load_script("find_server_run")
_MARK = load_script("mark_server_run")
_KEYS = ("gov:reconciled_run",)
_answer_decoder = msgspec.msgpack.Decoder(tuple[str, str])


async def find_unreconciled_run(client: CounterClient) -> str | None:
    """The id of the run when it still has to be reconciled. Raises CountersUnavailableError."""
    answers = await client.run([ScriptCall(_FIND, _KEYS, msgspec.msgpack.encode(None))])
    run_id, reconciled_run_id = _answer_decoder.decode(answers[0])
    return None if run_id == reconciled_run_id else run_id


async def mark_reconciled(client: CounterClient, run_id: str) -> None:
    """Raises CountersUnavailableError."""
    await client.run([ScriptCall(_MARK, _KEYS, msgspec.msgpack.encode((run_id,)))])
