"""Runs in the environment of LiteLLM, with nothing of this project: calls its limiter's pre-call hook in a loop.

For each line `CONCURRENCY SECONDS` on standard input it answers one of JSON: decisions a second, p50 and p99.
A key, its team and its end user (LiteLLM's word for customer) have a limit of tokens and one of requests each.
"""

import asyncio
import json
import sys
import time
from typing import Any
from uuid import uuid4

import uvloop
from litellm.caching.caching import DualCache
from litellm.caching.redis_cache import RedisCache
from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.hooks.parallel_request_limiter_v3 import _PROXY_MaxParallelRequestsHandler_v3
from litellm.proxy.utils import InternalUsageCache

_LIMIT = 2_000_000_000
_KEYS = 1000
_KEYS_PER_TEAM = 10
_TEAMS_PER_CUSTOMER = 10


def auth(number: int) -> UserAPIKeyAuth:
    team = number // _KEYS_PER_TEAM
    return UserAPIKeyAuth(
        api_key=f"hashed-key-{number}",
        rpm_limit=_LIMIT,
        tpm_limit=_LIMIT,
        team_id=f"team-{team}",
        team_rpm_limit=_LIMIT,
        team_tpm_limit=_LIMIT,
        end_user_id=f"customer-{team // _TEAMS_PER_CUSTOMER}",
        end_user_rpm_limit=_LIMIT,
        end_user_tpm_limit=_LIMIT,
    )


def request() -> dict[str, Any]:
    return {
        "model": "gpt-4o",
        # Short: it counts words to estimate tokens, and what we are asked has them counted already.
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 100,
        "litellm_call_id": uuid4().hex,
        "metadata": {},
    }


async def measure(limiter: Any, cache: DualCache, concurrency: int, seconds: float) -> dict[str, float]:
    keys = [auth(number) for number in range(_KEYS)]
    took_ms: list[float] = []
    end = time.perf_counter() + seconds

    async def repeat(place: int) -> None:
        while (begun := time.perf_counter()) < end:
            place = (place + 7919) % _KEYS
            await limiter.async_pre_call_hook(
                user_api_key_dict=keys[place], cache=cache, data=request(), call_type="completion"
            )
            took_ms.append((time.perf_counter() - begun) * 1000)

    started = time.perf_counter()
    # Each in a context of its own, as requests are: the limiter keeps what it did in context variables.
    await asyncio.gather(*(asyncio.create_task(repeat(place)) for place in range(concurrency)))
    elapsed = time.perf_counter() - started
    took_ms.sort()
    return {
        "value": len(took_ms) / elapsed,
        "p50_ms": took_ms[len(took_ms) // 2],
        "p99_ms": took_ms[int(len(took_ms) * 0.99)],
    }


async def main(port: str) -> None:
    cache = DualCache(redis_cache=RedisCache(host="127.0.0.1", port=int(port)))
    limiter = _PROXY_MaxParallelRequestsHandler_v3(InternalUsageCache(cache))
    # Its first call imports for seconds.
    await limiter.async_pre_call_hook(user_api_key_dict=auth(0), cache=cache, data=request(), call_type="completion")
    for line in sys.stdin:
        concurrency, seconds = line.split()
        sys.stdout.write(json.dumps(await measure(limiter, cache, int(concurrency), float(seconds))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(sys.argv[1]))
