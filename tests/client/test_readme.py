"""The README's example, as it stands there, against the service and a mock LLM."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import openai
from aiohttp.test_utils import TestServer

from service.client import Governance
from service.store.postgres import Connection
from tests.api.forward_auth import make_key
from tests.conftest import TestApi
from tests.gateways.mock import WORDS, build_mock

README = Path(__file__).parents[2] / "README.md"


async def test_a_streamed_call_as_the_readme_has_it_is_booked(
    api: TestApi, aiohttp_server: Callable[..., Awaitable[TestServer]], connection: Connection
) -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = (each for each in examples if "service.client" in each)
    defined: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), defined)
    key, mock = await make_key(api), await aiohttp_server(build_mock())
    async with (
        Governance(str(api.make_url("/"))) as governance,
        openai.AsyncOpenAI(base_url=str(mock.make_url("/v1")), api_key="sk-of-the-llm", max_retries=0) as llm,
    ):
        answer = await defined["ask"](governance, llm, key["value"], "say hello to me")
    assert answer.split() == list(WORDS)
    (event,) = await connection.fetch("SELECT * FROM usage_events")
    assert (event["provider"], event["model"], event["status"]) == ("openai", "gpt-4o", "success")
    assert (event["input_tokens"], event["output_tokens"]) == (4, len(WORDS))
