"""What a worker knows of the holds it admitted."""

from service.governance.holds import KnownHolds


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
