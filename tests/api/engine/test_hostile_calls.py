"""Whatever is sent: a precise refusal and untouched stores, or an answer; never a fault of ours."""

import json
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from service.settings import Settings
from service.store.postgres import Connection
from tests.factories import Factory
from tests.gateway import VALUE, Gateway, decided, reported

# Route, fields beside a virtual key and an id, and the path of the fault.
REFUSED: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("authorize", {"estimated_cost": -1}, "$.estimated_cost"),
    ("authorize", {"estimated_cost": 1e6 + 1}, "$.estimated_cost"),
    ("authorize", {"estimated_cost": "1"}, "$.estimated_cost"),
    ("authorize", {"estimated_input_tokens": -1}, "$.estimated_input_tokens"),
    ("authorize", {"estimated_input_tokens": 0.5}, "$.estimated_input_tokens"),
    ("authorize", {"max_output_tokens": 10**12 + 1}, "$.max_output_tokens"),
    ("authorize", {"max_output_tokens": 10**30}, "$.max_output_tokens"),
    ("authorize", {"ttl": 0}, "$.ttl"),
    ("authorize", {"ttl": 86_401}, "$.ttl"),
    ("authorize", {"model": ""}, "$.model"),
    ("authorize", {"model": "m" * 256}, "$.model"),
    ("authorize", {"model": "a\x00b"}, "$.model"),
    ("authorize", {"provider": "a\u202eb"}, "$.provider"),
    ("authorize", {"request_id": ""}, "$.request_id"),
    ("authorize", {"request_id": "r" * 241}, "$.request_id"),
    ("authorize", {"request_id": "a\nb"}, "$.request_id"),
    ("authorize", {"request_id": "r:late"}, "$.request_id"),
    ("authorize", {"virtual_key": ""}, "$.virtual_key"),
    ("authorize", {"virtual_key": 7}, "$.virtual_key"),
    ("authorize", {"mcp_tools": ["a", 1]}, "$.mcp_tools[1]"),
    ("authorize", {"mcp_tools": ["a"] * 1001}, "$.mcp_tools"),
    ("authorize", {"headers": {"a": 1}}, "$.headers[...]"),
    ("authorize", {"headers": {str(number): "" for number in range(201)}}, "$.headers"),
    ("usage", {"request_id": "a\x00b"}, "$.request_id"),
    ("usage", {"request_id": "r:late"}, "$.request_id"),
    ("usage", {"virtual_key": None}, "$.virtual_key"),
    ("usage", {"status": "expired"}, "$.status"),
    ("usage", {"status": "late"}, "$.status"),
    ("usage", {"cost": 1e300}, "$.cost"),
    ("usage", {"input_tokens": 10**13}, "$.input_tokens"),
    ("usage", {"cached_input_tokens": -1}, "$.cached_input_tokens"),
    ("usage", {"occurred_at": "yesterday"}, "$.occurred_at"),
    ("usage", {"occurred_at": "2026-01-01T00:00:00"}, "$.occurred_at"),
    ("usage", {"occurred_at": "0001-01-01T00:00:00+23:59"}, "$.occurred_at"),
    ("usage", {"occurred_at": "9999-12-31T23:59:59-23:59"}, "$.occurred_at"),
    ("usage", {"metadata": []}, "$.metadata"),
    ("usage", {"metadata": {"a": "x" * 9000}}, "$.metadata"),
    ("usage", {"metadata": {"a": "\x00"}}, "$.metadata"),
    ("usage", {"metadata": {"a\x00": 1}}, "$.metadata"),
    ("usage", {"metadata": {"deep": [{"er": "\x00"}]}}, "$.metadata"),
    ("usage", {"metadata": {str(number): 1 for number in range(51)}}, "$.metadata"),
    ("release", {"request_id": None}, "$.request_id"),
    ("release", {"request_id": 1}, "$.request_id"),
)


@pytest.fixture(autouse=True)
async def key(make: Factory) -> str:
    key = await make.virtual_key(value=VALUE, allow_all_providers=True)
    await make.budget(virtual_key_id=key)
    return key


async def is_untouched(redis: Redis, connection: Connection) -> bool:
    holds, events = await redis.keys("gov:*hold*"), await connection.fetchval("SELECT count(*) FROM usage_requests")
    return (holds, events) == ([], 0)


async def test_each_fault_is_told_of_by_its_path_and_nothing_is_written(
    gateway: Gateway, redis: Redis, connection: Connection
) -> None:
    for route, fields, path in REFUSED:
        call = {"request_id": "call"} if route == "release" else {"request_id": "call", "virtual_key": VALUE}
        status, answer = await gateway.send(route, call | fields)
        assert (status, answer.get("error", {}).get("path")) == (400, path), (route, str(fields)[:80], answer)
        if route == "usage":
            status, answer = await gateway.send(route, [reported("whole"), call | fields])
            assert (status, answer["error"].get("path")) == (400, path.replace("$", "$[1]")), (route, str(fields)[:80])
    assert await is_untouched(redis, connection)


BODIES: tuple[bytes, ...] = (
    b"",
    b"null",
    b"{",
    b"[" * 100_000,
    b'{"request_id":"\xff","virtual_key":"a"}',
    b'{"request_id":"\\ud800","virtual_key":"a"}',
    b'{"request_id":"a","virtual_key":"\\ud800"}',
    b'{"request_id":"a","virtual_key":"a","cost":1e400}',
    b'{"request_id":"a","virtual_key":"a","cost":NaN}',
    b'[{"request_id":"a","virtual_key":"a"},]',
    b"[null]",
    b"[[]]",
    b"7",
)


async def test_bodies_that_are_no_call_are_refused(gateway: Gateway, redis: Redis, connection: Connection) -> None:
    for route in ("authorize", "usage", "release"):
        for body in BODIES:
            status, answer = await gateway.send_raw(route, body)
            assert status == 400, (route, body[:80], answer)
    assert await is_untouched(redis, connection)


# As it is sent, and whether it can be kept.
METADATA: tuple[tuple[bytes, bool], ...] = (
    (b'{"a":"\\ud800"}', False),
    (b'{"\\udfff":1}', False),
    (b'{"a":1e400}', False),
    (b'{"a":1' + b"0" * 5000 + b"}", False),
    (b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}", False),
    (b'{"a":1' + b"0" * 40 + b"}", True),
    (b'{"a":1e308}', True),
    (b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", True),
    (b'{"a":"\\\\u0000"}', True),
)


async def test_metadata_is_kept_or_refused(gateway: Gateway, connection: Connection) -> None:
    for number, (metadata, is_kept) in enumerate(METADATA):
        body = b'{"request_id":"%d","virtual_key":"%s","metadata":%s}' % (number, VALUE.encode(), metadata)
        status, answer = await gateway.send_raw("usage", body)
        assert status == (200 if is_kept else 400), (metadata[:80], answer)
    kept = sum(is_kept for _, is_kept in METADATA)
    assert await connection.fetchval("SELECT count(metadata) FROM usage_events") == kept


async def test_odd_texts_and_numbers_are_booked_as_they_are(gateway: Gateway, connection: Connection) -> None:
    texts = ["日本 🎉", "a'b\"c\\d", "{%s} $1 :x", "e\u0301", "\U0010ffff", "x" * 255]
    for number, text in enumerate(texts):
        metadata = {text: [text, 2**63 - 1, -(2**63), 0.1, 1e20, -0.0, "\n\t\u200f", "\\u"]}
        used = {"provider": text, "model": text, "cost": 1e-9, "metadata": metadata}
        request_id = f"{number}{text}"[:240]
        await gateway.authorize(request_id=request_id, provider=text, model=text, headers={text: text})
        assert (await gateway.report(request_id, **used))["status"] == "recorded"
        assert (await gateway.report(request_id, **used))["status"] == "duplicate"
        row = await connection.fetchrow(
            "SELECT provider, model, metadata FROM usage_events WHERE request_id = $1", request_id
        )
        assert row is not None
        assert (row["provider"], row["model"], json.loads(bytes(row["metadata"]))) == (text, text, metadata)


async def test_the_largest_numbers_are_taken_and_add_up(gateway: Gateway, connection: Connection) -> None:
    most = {"input_tokens": 10**12, "output_tokens": 10**12, "cached_input_tokens": 10**12, "cost": 1e6}
    await connection.execute("UPDATE budgets SET max_limit_nanousd = 9000000000000000000")
    for number in range(20):
        call = {"estimated_cost": 1e6, "estimated_input_tokens": 10**12, "max_output_tokens": 10**12, "ttl": 86_400}
        assert decided(await gateway.authorize(request_id=f"{number}", **call)) == ("allow", 200)
        assert (await gateway.report(f"{number}", **most))["status"] == "recorded"
    assert await connection.fetchval("SELECT used FROM meter_windows") == 20 * 10**15


async def test_unknown_fields_are_warned_of(gateway: Gateway) -> None:
    for route, call, field, near in (
        ("authorize", {"virtual_key": VALUE}, "estimatedcost", "estimated_cost"),
        ("usage", reported("a"), "input_token", "input_tokens"),
        ("release", {"request_id": "a"}, "request", "request_id"),
    ):
        status, answer = await gateway.send(route, {**call, field: 1})
        warning = {"path": f"$.{field}", "message": f"unknown field '{field}' was ignored", "did_you_mean": near}
        assert (status, answer["warnings"]) == (200, [warning])
        assert "warnings" not in (await gateway.send(route, call))[1]
    answer = await gateway.report_all(reported("b"), reported("c", costs=1))
    assert [warning["path"] for warning in answer["warnings"]] == ["$[1].costs"]


class TestRefusing:
    """With GOVERNANCE_UNKNOWN_FIELDS=refuse."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, unknown_fields="refuse")

    async def test_unknown_fields_are_refused(self, gateway: Gateway, redis: Redis, connection: Connection) -> None:
        for route, body, path in (
            ("authorize", {"virtual_key": VALUE, "modell": "m"}, "$.modell"),
            ("usage", reported("a", costs=1), "$.costs"),
            ("usage", [reported("a"), reported("b", costs=1)], "$[1].costs"),
            ("release", {"request_id": "a", "x": 1}, "$.x"),
        ):
            status, answer = await gateway.send(route, body)
            assert (status, answer["error"]["path"]) == (400, path)
        assert await is_untouched(redis, connection)
