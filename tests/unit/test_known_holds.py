"""What a worker knows of the holds it admitted, and of whose they are."""

from service.governance.holds import KnownHolds, NotedTenants


def test_every_hold_that_expired_is_found_in_a_few_looks_and_one_that_ended_in_none() -> None:
    holds = KnownHolds()
    for number in range(5_000):
        holds.add(f"r{number}", f"t{number % 3}", 10 if number % 2 else 20)
    holds.end("r1")
    looks = [holds.expired(10) for _ in range(3)]
    assert all(len(look) <= 2_000 for look in looks)
    found = {request_id: tenant for look in looks for request_id, tenant in look.items()}
    assert found == {f"r{number}": f"t{number % 3}" for number in range(3, 5_000, 2)}


def test_a_few_holds_are_all_looked_at_each_time() -> None:
    holds = KnownHolds()
    holds.add("a", "t", 10)
    assert holds.expired(9) == {}
    holds.add("b", "t", 10)
    assert holds.expired(10) == {"a": "t", "b": "t"}


def test_a_tenant_is_noted_again_after_half_a_minute() -> None:
    noted = NotedTenants()
    assert not noted.is_recent("t", 10**15)
    noted.add("t", 10**15)
    assert noted.is_recent("t", 10**15 + 29_999_999)
    assert not noted.is_recent("t", 10**15 + 30_000_000)


def test_a_tenant_that_was_noted_lately_and_is_not_listed_is_lost() -> None:
    noted = NotedTenants()
    for tenant_id in "abc":
        noted.add(tenant_id, 10**15)
    assert noted.lost({"a", "other"}, 10**15 + 119_999_999) == ["b", "c"]
    assert noted.lost({"a"}, 10**15 + 120_000_000) == []


def test_all_that_was_noted_is_looked_at_in_a_few_looks() -> None:
    noted = NotedTenants()
    for number in range(5_000):
        noted.add(f"t{number}", 10**15)
    looks = [noted.lost(set(), 10**15) for _ in range(3)]
    assert all(len(look) <= 2_000 for look in looks)
    assert {tenant_id for look in looks for tenant_id in look} == {f"t{number}" for number in range(5_000)}
