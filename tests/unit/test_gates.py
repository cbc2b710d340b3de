"""Gates: what a call must pass before its limits are looked at."""

from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from service.domain.decisions import Refusal
from service.domain.gates import Candidates, check_headers, check_key, check_tools, find_candidates
from service.domain.meters import Tenant
from service.domain.models import model_list
from service.domain.policy import GlobalPolicy, McpAccess, Policy
from service.domain.presented import virtual_key_in
from tests.unit.policies import ANCHOR, access, policy


def decision(answer: Refusal | Candidates | None) -> str | None:
    return answer.decision if isinstance(answer, Refusal) else None


@given(
    st.dictionaries(st.text("ab-", min_size=1), st.sampled_from(["*", "", "a+"])),
    st.dictionaries(st.text("ab-AB"), st.text("a")),
)
def test_headers_pass_if_each_that_is_asked_for_is_there_and_matches(
    required: dict[str, str], headers: dict[str, str]
) -> None:
    given_headers = {name.lower(): value for name, value in headers.items()}
    passes = all(
        name in given_headers and (pattern in ("", "*") or len(given_headers[name]) > 0)
        for name, pattern in required.items()
    )
    assert (check_headers(required, headers) is None) == passes


@pytest.mark.parametrize(
    ("of", "refused_as"),
    [
        (None, "access_not_found"),
        (policy(is_deleted=True, is_active=False), "access_not_found"),
        (policy(is_active=False), "access_blocked"),
        (policy(expires_at=ANCHOR), "access_blocked"),
        (policy(expires_at=ANCHOR + timedelta(microseconds=1)), None),
        (policy(), None),
    ],
    ids=["unknown", "deleted", "inactive", "expired", "not yet expired", "active"],
)
def test_a_key_is_known_active_and_not_expired(of: Policy | None, refused_as: str | None) -> None:
    assert decision(check_key(of, ANCHOR)) == refused_as


def test_without_a_provider_all_that_may_be_used_are_candidates() -> None:
    everything, some = access("a"), access("b", allowed=["m"])
    without_keys, denied = access("c", key_ids=()), access("d", denied=["m"])
    of = policy(everything, some, without_keys, denied)
    assert find_candidates(of, None, "m") == Candidates("m", (everything, some))
    assert find_candidates(of, None, "other") == Candidates("other", (everything, denied))
    assert find_candidates(of, None, None) == Candidates(None, (everything,))
    assert decision(find_candidates(policy(without_keys), None, "m")) == "provider_blocked"
    assert decision(find_candidates(policy(denied, without_keys), None, "m")) == "provider_blocked"
    assert decision(find_candidates(policy(denied), None, "m")) == "model_blocked"


def test_a_prefix_names_the_provider_only_when_it_is_one_of_the_keys() -> None:
    own = access("a", allowed=["m", "x/m"])
    assert find_candidates(policy(own), None, "a/m") == Candidates("m", (own,), "a")
    assert find_candidates(policy(own), None, "x/m") == Candidates("x/m", (own,))
    assert decision(find_candidates(policy(own), "a", "a/m")) == "model_blocked"
    assert find_candidates(policy(allow_all_providers=True), None, "x/y/z") == Candidates("y/z", (), "x")


def test_a_tool_is_of_the_keys_own_clients_or_of_those_open_to_all() -> None:
    whole = GlobalPolicy(Tenant("global", 1), 1, default_mcp=(McpAccess("a", ("*",)), McpAccess("open", ("x",))))
    of = policy(mcp=(McpAccess("a", ("x",)), McpAccess("a-b", ("*",))))
    for tool, may_be_used in (
        ("a-x", True),
        ("a-y", False),
        ("a-b-y", True),
        ("a-b", False),
        ("open:x", True),
        ("open:y", False),
        ("", False),
        ("-", False),
    ):
        assert (check_tools(of, whole, [tool]) is None) == may_be_used, tool
    refusal = check_tools(of, whole, ["a-x", "a-y", "z"])
    assert refusal == Refusal("mcp_tool_blocked", "MCP tool a-y is not allowed for virtual key ci-bot")


names = st.text("aAbß*.", max_size=4)


@given(st.lists(names), names)
def test_a_list_of_models_holds_its_names_in_any_case_and_everything_with_a_star(items: list[str], model: str) -> None:
    held = "*" in items or model.casefold() in [item.casefold() for item in items]
    assert model_list(items).holds(model) == held


@pytest.mark.parametrize("pattern", ["(", "[", "*", "(?P<", "a{99999999999}", "(" * 200 + ")" * 200])
def test_a_pattern_that_cannot_be_read_matches_nothing(pattern: str) -> None:
    assert not model_list([f"regex:{pattern}"]).holds("a")


@given(st.dictionaries(st.sampled_from(["x-bf-vk", "authorization", "x-api-key", "cookie"]), st.text(max_size=20)))
def test_no_header_is_taken_for_a_virtual_key_by_chance(headers: dict[str, str]) -> None:
    found = virtual_key_in(headers)
    assert found is None or found == headers.get("x-bf-vk", "").strip() or found.lower().startswith("sk-bf-")
