"""An upstream that costs nothing: answers as OpenAI does, plain and streaming, to try gateways on.

`python deploy/mock_llm.py 9000` listens on 127.0.0.1:9000. A token is a word here. Of the models, `broken` answers 500,
and `silent` streams without saying what it used, as OpenAI does without `stream_options`.
"""

import asyncio
import json
import sys
from typing import Any

from aiohttp import web

WORDS = ("Grüße", "from", "the", "mock", "model.")
# Events are sent in two pieces, as a network may cut them: in the middle of a character, or of the usage.
_PAUSE_SECONDS = 0.005
ASKED = web.AppKey("asked", list[dict[str, Any]])


async def chat_completions(request: web.Request) -> web.StreamResponse:
    asked = await request.json()
    request.app[ASKED].append({"headers": dict(request.headers), "body": asked})
    if asked.get("model") == "broken":
        return web.json_response({"error": {"message": "broken", "type": "server_error"}}, status=500)
    if asked.get("stream"):
        return await _stream(request, asked)
    message = {"role": "assistant", "content": " ".join(WORDS)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return web.json_response(_answer(asked, "chat.completion") | {"choices": [choice], "usage": _usage(asked)})


async def models(_request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "gpt-4o", "object": "model", "owned_by": "mock"}]})


async def _stream(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    chunk = _answer(asked, "chat.completion.chunk")
    for word in WORDS:
        delta = {"role": "assistant", "content": word + " "}
        await _send(response, chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    await _send(response, chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if asked.get("model") != "silent":
        await _send(response, chunk | {"choices": [], "usage": _usage(asked)})
    await response.write(b"data: [DONE]\n\n")
    return response


async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
    data = f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
    cut = data.find("ü".encode()) + 1 or len(data) - 40
    for piece in (data[:cut], data[cut:]):
        await response.write(piece)
        await asyncio.sleep(_PAUSE_SECONDS)


def _answer(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-mock", "object": kind, "created": 1, "model": asked.get("model", "gpt-4o")}


def _usage(asked: dict[str, Any]) -> dict[str, Any]:
    prompt = sum(len(str(message.get("content", "")).split()) for message in asked.get("messages", []))
    details = {"prompt_tokens_details": {"cached_tokens": 0}}
    return {"prompt_tokens": prompt, "completion_tokens": len(WORDS), "total_tokens": prompt + len(WORDS), **details}


def build_mock() -> web.Application:
    """`app[ASKED]` has all that arrived."""
    app = web.Application()
    app[ASKED] = []
    app.router.add_post("/v1/chat/completions", chat_completions)
    app.router.add_get("/v1/models", models)
    return app


if __name__ == "__main__":
    web.run_app(build_mock(), host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 9000)
