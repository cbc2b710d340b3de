"""/metrics: true numbers, and no label that grows with what customers have or clients send."""

from collections.abc import Awaitable, Callable

import msgspec

from service.app import build_app
from service.http.openapi_names import operation_id
from service.http.routes import ROUTES
from service.settings import Settings
from service.telemetry.metrics import METRICS
from tests.api.test_access import ADMIN_TOKEN
from tests.conftest import TestApi
from tests.exposition import Series, parse, total
from tests.factories import Factory
from tests.gateway import VALUE, Gateway
from tests.waiting import until

API = "/api/governance"
FIXED = {
    "worker": {"1"},
    "operation": {operation_id(route) for route in ROUTES} | {"none"},
    "status": {"200", "400", "404", "405", "503"},
    "store": {"postgres", "redis"},
    "state": {"used", "idle"},
    "cache": {"tree", "masked_tree", "policies"},
    "queue": {"usage"},
    "kind": {"no_answer", "not_asked", "refused", "unavailable"},
}


async def scrape(api: TestApi) -> Series:
    response = await api.get("/metrics")
    assert response.status == 200
    return parse(await response.text())


async def test_every_metric_of_the_table_is_told_and_no_other(api: TestApi) -> None:
    response = await api.get("/metrics")
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    told = {line.split()[2] for line in (await response.text()).splitlines() if line.startswith("# TYPE")}
    assert {name for name in told if not name.startswith("process_")} == {metric.name for metric in METRICS} | {
        "governance_worker_up"
    }
    assert "process_resident_memory_bytes" in told


async def test_answers_are_counted_by_operation_and_status(api: TestApi) -> None:
    for path in ("/customers", "/customers", "/customers?limit=x", "/customers/nobody", "/no-such-thing"):
        await api.get(f"{API}{path}")
    series = await scrape(api)
    counted = {
        (operation, status): total(series, "governance_http_answers_total", operation=operation, status=status)
        for operation, status in (
            ("list_customers", "200"),
            ("list_customers", "400"),
            ("get_customer", "404"),
            ("none", "404"),
        )
    }
    assert counted == {
        ("list_customers", "200"): 2,
        ("list_customers", "400"): 1,
        ("get_customer", "404"): 1,
        ("none", "404"): 1,
    }
    assert total(series, "governance_http_request_seconds_count", operation="list_customers") == 3
    assert 0 < total(series, "governance_http_request_seconds_sum", operation="list_customers") < 30


async def test_stores_and_caches_are_measured_while_they_are_used(api: TestApi, make: Factory) -> None:
    await make.budget(customer_id=await make.customer())
    before = await scrape(api)
    for _ in range(3):
        await api.get(f"{API}/customers")
    after = await scrape(api)

    def grown(name: str, **labels: str) -> float:
        return total(after, name, **labels) - total(before, name, **labels)

    assert grown("governance_postgres_seconds_count") >= 3
    assert grown("governance_postgres_wait_seconds_count") >= 3
    assert grown("governance_redis_seconds_count") >= 3
    assert grown("governance_cache_misses_total", cache="tree") == 1
    assert grown("governance_cache_hits_total", cache="tree") == 2
    assert grown("governance_cache_bytes", cache="tree") > 0
    assert total(after, "governance_postgres_connections") >= 1
    assert total(after, "governance_redis_breaker_open") == 0
    assert total(after, "governance_redis_errors_total") == total(after, "governance_postgres_errors_total") == 0

    async def both_are_up() -> bool:
        return total(await scrape(api), "governance_store_up") == 2

    await until(both_are_up)


async def test_outages_of_both_stores_are_told(storeless_api: TestApi) -> None:
    async def told() -> bool:
        series = await scrape(storeless_api)
        return bool(
            total(series, "governance_redis_breaker_open") == 1
            and total(series, "governance_redis_breaker_opened_total") == 1
            and total(series, "governance_redis_errors_total", kind="no_answer") >= 3
            and total(series, "governance_postgres_errors_total", kind="unavailable") >= 1
            and total(series, "governance_store_up") == 0
        )

    await until(told)


async def test_no_label_has_a_value_that_is_not_one_of_a_fixed_few(api: TestApi, make: Factory) -> None:
    customer_id = await make.customer(id="planted-id", name="planted name")
    await make.virtual_key(customer_id=customer_id, value="sk-bf-planted")
    for path in ("", "/planted-id", "/planted-unknown", "?search=planted", "?limit=planted"):
        await api.get(f"{API}/customers{path}", headers={"X-Request-Id": "planted", "Authorization": "Bearer planted"})
    await api.request("PLANTED", "/planted")
    text = await (await api.get("/metrics")).text()
    assert "planted" not in text.lower()
    for name, by_labels in parse(text).items():
        for labels in by_labels:
            for label, value in labels:
                assert label in ("le", "version") or value in FIXED[label], (name, label, value)


async def test_it_is_open_unless_a_token_is_asked_for(
    settings: Settings, aiohttp_client: Callable[..., Awaitable[TestApi]]
) -> None:
    asking = msgspec.structs.replace(settings, auth="on", admin_token=ADMIN_TOKEN, metrics_scope="read")
    closed = await aiohttp_client(build_app(asking))
    assert (await closed.get("/metrics")).status == 401
    assert (await closed.get("/metrics", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})).status == 200
    unasked = await aiohttp_client(build_app(msgspec.structs.replace(asking, metrics_scope="open")))
    assert (await unasked.get("/metrics")).status == 200


async def test_what_was_decided_booked_and_is_held_is_counted(
    settings: Settings, aiohttp_client: Callable[..., Awaitable[TestApi]], make: Factory
) -> None:
    api = await aiohttp_client(build_app(settings))
    await make.virtual_key(value=VALUE, allow_all_providers=True)
    gateway = Gateway(api)
    for request_id in ("booked", "open"):
        await gateway.authorize(request_id=request_id, provider="openai", model="unheard-of")
    await gateway.report("booked", provider="openai", model="unheard-of", input_tokens=10)
    await gateway.report("booked", provider="openai", model="unheard-of", input_tokens=10)

    async def one_is_open() -> bool:
        return total(await scrape(api), "governance_holds_open") == 1

    await until(one_is_open)
    series = await scrape(api)
    counted = {
        name: total(series, f"governance_{name}")
        for name in ("decisions_total", "unpriced_usage_total", "batch_events_count", "queue_depth", "alerts_pending")
    }
    assert counted == {
        "decisions_total": 2,
        "unpriced_usage_total": 1,
        "batch_events_count": 2,
        "queue_depth": 0,
        "alerts_pending": 0,
    }
    assert total(series, "governance_decisions_total", decision="allow") == 2
    assert total(series, "governance_usage_events_total", result="recorded") == 1
    assert total(series, "governance_usage_events_total", result="duplicate") == 1
