"""Small scripts for tests of the client."""

import hashlib

from service.counters.client import Script


def script(text: str) -> Script:
    return Script("test", text, hashlib.sha1(text.encode()).hexdigest())


COUNT = script("return tostring(redis.call('INCR', KEYS[1]))")
ECHO = script("return ARGV[1]")
FAULTY = script("return redis.call('HGET', KEYS[1], 'x')")
