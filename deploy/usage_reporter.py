"""Between a gateway that cannot read answers and an LLM: passes all on as it comes, and reports what each answer used.

Listens on 127.0.0.1:PORT (9100) in front of LLM_URL (http://127.0.0.1:9000), and reports to GOVERNANCE_URL
(http://127.0.0.1:8080) with GOVERNANCE_TOKEN. The LLM gets OPENAI_API_KEY in place of the client's key. Which call it
is, the gateway says in `x-governance-request-id` and `x-governance-virtual-key-id`, from the answer of `/authz`.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import web

from service.client import Governance, GovernanceError, UsageReader

_LARGEST_BODY_BYTES = 64 * 1024 * 1024
_KEYS = ("authorization", "x-bf-vk", "x-api-key", "x-goog-api-key", "api-key")
_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host", "content-length")
# The usage is read as it is: an answer must not be compressed.
_LEFT_OUT = frozenset((*_KEYS, *_HOP_BY_HOP, "accept-encoding", "expect"))
LLM = web.AppKey("llm", aiohttp.ClientSession)
GOVERNANCE = web.AppKey("governance", Governance)
ADDRESS: web.AppKey[str] = web.AppKey("address", str)
LLM_KEY: web.AppKey[str] = web.AppKey("llm_key", str)


async def pass_on(request: web.Request) -> web.StreamResponse:
    """The request, its answer, and the report."""
    body, reader, status = await request.read(), UsageReader(), "error"
    response = web.StreamResponse()
    try:
        async with request.app[LLM].request(
            request.method, request.app[ADDRESS] + request.path_qs, headers=_headers(request), data=body
        ) as answer:
            # What is cut off from here on was probably billed.
            status = "success" if answer.status < 400 else "error"
            response.set_status(answer.status)
            response.headers.update(
                {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            )
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                reader.feed(chunk)
                await response.write(chunk)
            await response.write_eof()
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        if not response.prepared:
            message = f"the LLM does not answer: {type(error).__name__}"
            return web.json_response({"error": {"message": message}}, status=502)
        # Half an answer must not look like a whole one.
        if request.transport is not None:
            request.transport.abort()
    finally:
        await _report(request, body, status, reader)
    return response


def _headers(request: web.Request) -> dict[str, str]:
    kept = {
        name: value
        for name, value in request.headers.items()
        if name.lower() not in _LEFT_OUT and not name.lower().startswith("x-governance-")
    }
    return kept | {"Authorization": f"Bearer {request.app[LLM_KEY]}", "Accept-Encoding": "identity"}


async def _report(request: web.Request, body: bytes, status: str, reader: UsageReader) -> None:
    """Of a success without figures, the service books what was held."""
    event = {
        "request_id": request.headers.get("x-governance-request-id"),
        "virtual_key_id": request.headers.get("x-governance-virtual-key-id"),
        "provider": request.headers.get("x-governance-provider"),
        "model": _model(body),
        "status": status,
        **reader.figures,
    }
    if not event["request_id"]:
        return
    try:
        await request.app[GOVERNANCE].report({name: value for name, value in event.items() if value not in (None, "")})
    except GovernanceError as error:
        print(f"usage was not reported, its hold expires: {error}")  # noqa: T201  # a script


def _model(body: bytes) -> str | None:
    try:
        model = json.loads(body).get("model")
    except (ValueError, AttributeError):
        return None
    return model if isinstance(model, str) else None


def build_reporter(environment: Mapping[str, str]) -> web.Application:
    """By the variables named above."""
    app = web.Application(client_max_size=_LARGEST_BODY_BYTES)
    app[ADDRESS] = environment.get("LLM_URL", "http://127.0.0.1:9000").rstrip("/")
    app[LLM_KEY] = environment.get("OPENAI_API_KEY", "")

    async def sessions(app: web.Application) -> Any:
        url, token = environment.get("GOVERNANCE_URL", "http://127.0.0.1:8080"), environment.get("GOVERNANCE_TOKEN", "")
        timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_read=600)
        async with (
            aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as app[LLM],
            Governance(url, token=token) as app[GOVERNANCE],
        ):
            yield

    app.cleanup_ctx.append(sessions)
    app.router.add_route("*", "/{tail:.*}", pass_on)
    return app


if __name__ == "__main__":
    web.run_app(build_reporter(os.environ), host="127.0.0.1", port=int(os.environ.get("PORT", "9100")))
