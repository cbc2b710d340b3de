"""Commands as the bytes Redis reads: written here since redis-py's own packing costs more than a whole call may."""

from functools import lru_cache

from service.counters.calls import ScriptCall

PING = b"*1\r\n$4\r\nPING\r\n"
ASKING = b"*1\r\n$6\r\nASKING\r\n"
CLUSTER_SLOTS = b"*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n"


def evalsha(call: ScriptCall) -> bytes:
    """Run the script by its name; answered with NOSCRIPT by a server that has not seen its text."""
    return _with_arguments(_beginning("EVALSHA", call.script.sha1, len(call.keys)), call)


def evaluate(call: ScriptCall) -> bytes:
    """Run the script by its text, which the server then knows by its name."""
    return _with_arguments(_beginning("EVAL", call.script.text, len(call.keys)), call)


def _with_arguments(beginning: bytes, call: ScriptCall) -> bytes:
    keys = b"".join([b"$%d\r\n%b\r\n" % (len(key), key) for key in map(str.encode, call.keys)])
    return b"%b%b$%d\r\n%b\r\n" % (beginning, keys, len(call.argument), call.argument)


@lru_cache(maxsize=256)
def _beginning(command: str, script: str, number_of_keys: int) -> bytes:
    """What is the same for every call of a script with so many keys."""
    parts = (command, script, str(number_of_keys))
    packed = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in map(str.encode, parts))
    return b"*%d\r\n%b" % (len(parts) + number_of_keys + 1, packed)
