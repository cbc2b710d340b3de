"""A gateway over HTTP: it asks before each call of a virtual key, and reports after it."""

from typing import Any

from tests.conftest import TestApi

API = "/api/governance"
VALUE = "sk-bf-of-the-caller"


class Gateway:
    """Calls are of the virtual key of `VALUE` unless they name another."""

    def __init__(self, api: TestApi) -> None:
        self._api = api

    async def send(self, path: str, body: Any) -> tuple[int, Any]:
        """The status and the decoded answer."""
        response = await self._api.post(f"{API}/{path}", json=body)
        return response.status, await response.json()

    async def send_raw(self, path: str, body: bytes) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"}
        response = await self._api.post(f"{API}/{path}", data=body, headers=headers)
        return response.status, await response.json()

    async def authorize(self, **call: Any) -> Any:
        return await self._answer("authorize", {"virtual_key": VALUE} | call)

    async def report(self, request_id: str, **used: Any) -> Any:
        return await self._answer("usage", reported(request_id, **used))

    async def report_all(self, *events: Any) -> Any:
        return await self._answer("usage", list(events))

    async def release(self, request_id: str) -> Any:
        return (await self._answer("release", {"request_id": request_id}))["released"]

    async def _answer(self, path: str, body: Any) -> Any:
        status, answer = await self.send(path, body)
        assert status == 200, answer
        return answer


def reported(request_id: str, **used: Any) -> dict[str, Any]:
    """One event as it is sent."""
    return {"request_id": request_id, "virtual_key": VALUE} | used


def decided(answer: Any) -> tuple[str, int]:
    """Decision and status; what is allowed has no violation and no message, what is not has one."""
    assert answer["allowed"] == (answer["decision"] == "allow")
    assert bool(answer["message"]) == (not answer["allowed"])
    assert "expires_at" in answer or not answer["allowed"]
    return answer["decision"], answer["status_code"]


def standing(answer: Any, limit_id: str, kind: str = "budget") -> Any:
    """The one limit of this id and kind among all on the call's path."""
    (found,) = [each for each in answer["limits"] if (each["limit"]["id"], each["limit"]["kind"]) == (limit_id, kind)]
    return found["limit"]


def violated(answer: Any) -> list[tuple[str, str]]:
    """Level and kind of every limit that refuses."""
    return [(each["level"], each["limit"]["kind"]) for each in answer["violations"]]
