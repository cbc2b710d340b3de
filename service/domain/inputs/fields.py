"""The fields inputs are made of: texts, counts and money, each with its bounds."""

from typing import Annotated

from msgspec import Meta

from service.domain.durations import DURATION_PATTERN, RATE_DURATION_PATTERN

# No control characters, and none of the marks that make text run backwards: a name is what it looks like.
PLAIN_TEXT = r"^[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*\Z"
# Free text may hold line breaks and tabs.
FREE_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*\Z"

Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=PLAIN_TEXT)]
Id = Annotated[str, Meta(min_length=1, max_length=255, pattern=PLAIN_TEXT)]
OwnerId = Annotated[str, Meta(max_length=255, pattern=PLAIN_TEXT, description="empty: none")]
Description = Annotated[str, Meta(max_length=4096, pattern=FREE_TEXT)]


def _duration(pattern: str, schema_format: str) -> Meta:
    """The pattern is only for the API's document: who errs is told more than that it does not match."""
    return Meta(
        max_length=50,
        description="such as 30s, 1h30m, 1d, 1w, 1M (month) or 1Y; 1s at least, 10Y at most",
        extra_json_schema={"format": schema_format, "pattern": pattern},
    )


Duration = Annotated[str, _duration(f"^({DURATION_PATTERN})$", "reset-duration")]
RateDuration = Annotated[str, _duration(f"^({RATE_DURATION_PATTERN})$", "rate-duration")]
# Empty is as good as null.
RateLimitDuration = Annotated[str, _duration(f"^({RATE_DURATION_PATTERN})?$", "optional-rate-duration")]
TimeZone = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*\Z",
        description="an IANA name such as Europe/Berlin",
        extra_json_schema={"format": "time-zone"},
    ),
]
# From a nano-dollar on.
LimitUsd = Annotated[float, Meta(ge=1e-9, le=9e9, description="US dollars")]
Count = Annotated[int, Meta(gt=0, le=2**53 - 1)]
# Percents of a budget's limit; the schema holds the same bounds.
AlertThresholds = Annotated[
    list[Annotated[int, Meta(ge=1, le=1000)]],
    Meta(
        max_length=10,
        description="percents of the limit that alerts tell of, once a window each; empty: none",
        extra_json_schema={"uniqueItems": True},
    ),
]
Shadow = Annotated[bool, Meta(description="whether the limit only counts, and refuses nothing")]
Parallel = Annotated[int, Meta(gt=0, le=2**31 - 1, description="calls under way at the same time")]
Weight = Annotated[float, Meta(ge=0, le=1e9)]
