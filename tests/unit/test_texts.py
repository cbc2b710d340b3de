"""What is encoded once of limits: filled in right whatever they are called, and kept within bounds."""

from typing import Any

import msgspec

from service.counters.holds import AskedHold
from service.domain.policy import Holder, Limits
from service.governance.admission.reserve import Asked, Reserved
from service.governance.admission.texts import Texts, holder_text
from service.governance.admission.verdict import Verdict, verdict_json
from tests.unit.policies import NOW_US, limit

DAY_US = 86_400_000_000
HOSTILE = 'to 100%d of "%b" \\ %% é\n'


def of(level: str, name: str = "a", **fields: Any) -> Limits:
    holder = Holder(level, "team", name, name)  # type: ignore[arg-type]  # one of the levels
    return (limit(name, holder=holder, **fields),)


def shown(limits: Limits, numbers: list[int], amount: int | None) -> list[dict[str, object]]:
    """As a call is told that was admitted."""
    hold = AskedHold("r", "", "", NOW_US, NOW_US, True)
    asked = Asked(hold, {"tokens": amount, "budget": amount, "requests": 1, "parallel": 1})
    reserved = Reserved("ok", asked, holder_text(limits, NOW_US).limits, numbers)
    verdict = Verdict(decision="allow", request_id="r", now_us=NOW_US, reserved=(reserved,))
    found: list[dict[str, object]] = [each["limit"] for each in msgspec.json.decode(verdict_json(verdict))["limits"]]
    return found


def test_names_that_look_like_formats_are_shown_and_asked_for_as_they_are() -> None:
    text = holder_text(of("team", HOSTILE), NOW_US)
    answer = msgspec.json.decode(text.limits[0].shown % (b"1", b"2", b"3", b"", 4))
    assert answer["entity"] == {"type": "team", "id": HOSTILE, "name": HOSTILE}
    assert answer["limit"]["id"] == HOSTILE
    asked = msgspec.msgpack.decode(b"\x94" + text.asked)
    start = NOW_US
    assert asked == [f"budget:{HOSTILE}", f"0:{start}:", "l", "10"]


def test_each_kind_is_filled_in_as_it_is_after_the_call_was_admitted() -> None:
    limits = (
        limit("b", most=3_000_000_000),
        limit("t", "tokens", most=10),
        limit("p", "parallel", most=4),
        limit("s", "requests", most=1, shadow=True),
    )
    budget, tokens, parallel, shadow = shown(limits, [1_000_000_000, 500_000_000, 4, 3, 0, 2, 1, 0], 2)
    window = {"window_start": "2026-01-01T00:00:00Z", "resets_at": "2026-01-02T00:00:00Z", "retry_after": 86_400}
    money = {"max": 3, "used": 1, "held": 0.500000002, "remaining": 1.499999998, "requested": 2e-9}
    assert budget == {"id": "b", "kind": "budget"} | money | window
    counts = {"max": 10, "used": 4, "held": 5, "remaining": 1, "requested": 2}
    assert tokens == {"id": "t", "kind": "tokens"} | counts | window
    calls = {"max": 4, "used": 0, "held": 3, "remaining": 1, "requested": 1}
    assert parallel == {"id": "p", "kind": "parallel"} | calls
    assert shadow["would_refuse"] is True
    assert (shadow["used"], shadow["held"], shadow["remaining"]) == (1, 1, 0)


def test_a_call_without_an_estimate_requests_nothing() -> None:
    (found,) = shown((limit("t", "tokens"),), [3, 2], None)
    assert (found["held"], found["remaining"]) == (2, 5)
    assert "requested" not in found


def test_a_text_is_the_same_until_its_window_ends_or_the_clock_is_set_back() -> None:
    texts, limits = Texts(), of("team")
    first = texts.of(limits, NOW_US)
    assert texts.of(limits, NOW_US + DAY_US - 1) is first
    next_day = texts.of(limits, NOW_US + DAY_US)
    assert (first.end_us, next_day.start_us) == (NOW_US + DAY_US, NOW_US + DAY_US)
    assert texts.of(limits, NOW_US).start_us == NOW_US


def test_what_many_calls_share_is_not_pushed_out_by_what_single_keys_have() -> None:
    texts = Texts(most_shared=2, most_own=2)
    team, customer = of("team"), of("customer")
    kept = [texts.of(each, NOW_US) for each in (team, customer)]
    own = [of("virtual_key", f"k{number}") for number in range(5)]
    for each in own:
        texts.of(each, NOW_US)
        texts.of(each, NOW_US)
    assert [texts.of(each, NOW_US) is text for each, text in zip((team, customer), kept, strict=True)] == [True, True]


def test_of_what_single_keys_have_the_last_ones_met_again_are_kept() -> None:
    texts = Texts(most_own=2)
    own = [of("virtual_key", f"k{number}") for number in range(4)]
    once = texts.of(own[0], NOW_US)
    kept = [texts.of(each, NOW_US) for each in own for _ in range(2)][1::2]
    assert kept[0] is not once
    assert [texts.of(each, NOW_US) is text for each, text in zip(own[2:], kept[2:], strict=True)] == [True, True]
    assert texts.of(own[0], NOW_US) is not kept[0]


def test_keys_that_are_met_once_do_not_push_out_one_that_is_met_again_and_again() -> None:
    texts, often = Texts(most_own=2), of("virtual_key", "often")
    _, kept = texts.of(often, NOW_US), texts.of(often, NOW_US)
    for limits in [of("virtual_key", f"k{number}") for number in range(10)]:
        texts.of(limits, NOW_US)
    assert texts.of(often, NOW_US) is kept
