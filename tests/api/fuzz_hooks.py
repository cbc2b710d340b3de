"""What schemathesis is told beside the OpenAPI document: the rules that JSON Schema cannot say."""

import re
from typing import Any
from zoneinfo import available_timezones

import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, CheckContext, Response
from schemathesis.checks import CHECKS
from schemathesis.specs.openapi.checks import positive_data_acceptance as accepts_what_the_document_allows

# By the refusal's message: two of a list that may not be alike, what is not there, what depends on what is stored, and
# the bounds of texts that have a meaning.
UNSAYABLE = re.compile(
    "|".join(
        (
            r"duplicate (reset_duration|id) in budgets",
            r"duplicate metric and reset_duration in rate_limits",
            r"is in the list twice",
            r"'\*' means everything: it stands alone",
            r"is no regular expression",
            r"there is no such .*",
            r"the owner has no budget with this id",
            r"both max_limit and reset_duration are required when creating a new budget",
            r"there are several budgets: use 'budgets'",
            r"(is '.*', and )?cannot be changed",
            r"invalid reset duration \(must be a positive duration\): .*",
            r"is no IANA time zone",
            r"must not be blank, nor begin or end with spaces",
            r"\w+ is required for \w+ scope_kind",
            r"\w+ scope_kind has no \w+",
            r"(exact pattern|wildcard p\w+) .*",
            r"is no price.*",
            r"name field is required",
            r"target weights must sum to 1, got .*",
            r"duplicate target entry: .*",
            r"key_id requires provider to be set",
            r"invalid CEL expression: .*",
            r"scope_id is required for scope '\w+'",
            r"(nests deeper than|is larger than) .*",
            r"must be an http or https URL for a connection of type \w+",
            r"only quarterly budgets \(such as 1Q\) have a quarter_start_month",
            r"holds a value that cannot be stored",
            r"must be in the future",
            r"is in the future",
            r"is more than 7 days ago",
            r"holds more than \d+ bytes, or control characters",
            r"is too far in the future",
            r"query parameter 'user_id' cannot be combined with 'from_memory'",
            r"query parameter 'from' must not be after 'to'",
            r"query parameter 'before_id' must be the id of an (entry|alert)",
            r"query parameter 'cursor' must be the next_cursor of a page",
            r"query parameters 'from' and 'to' must be at most \d+ days apart",
        )
    )
)


CHECKS.unregister(accepts_what_the_document_allows.__name__)


@schemathesis.check
def positive_data_acceptance(ctx: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    """As schemathesis has it, but for the refusals above."""
    if response.status_code == 400 and UNSAYABLE.fullmatch(response.json()["error"]["message"]):
        return None
    return accepts_what_the_document_allows(ctx, response, case)


def _durations(*calendar_units: str) -> st.SearchStrategy[str]:
    """Within the bounds, which the pattern does not say."""
    words = st.sampled_from(("daily", "weekly", "monthly", "yearly"))
    calendar = st.builds("{}{}".format, st.integers(1, 10), st.sampled_from(calendar_units))
    clock = st.builds("{}h{}m{}.5s".format, st.integers(0, 1000), st.integers(0, 59), st.integers(1, 59))
    return words | calendar | clock


_ZONES = sorted(name for name in available_timezones() if name.startswith(("Europe/", "Asia/", "America/")))
schemathesis.openapi.format("reset-duration", _durations("d", "w", "M", "Q", "Y"))
schemathesis.openapi.format("rate-duration", _durations("d", "w", "M", "Y"))
schemathesis.openapi.format("optional-rate-duration", _durations("d", "w", "M", "Y") | st.just(""))
schemathesis.openapi.format("time-zone", st.sampled_from(_ZONES))
